"""The daemon as a service: systemd, the journal, and the socket of the `callpoint` command."""
