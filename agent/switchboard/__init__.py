"""The one place that decides: a press, a command or a message from a gateway comes in, a call is made or ended."""
