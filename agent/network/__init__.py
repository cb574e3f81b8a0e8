"""The device's own network: what the kernel says of addresses and routes."""
