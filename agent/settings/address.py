"""Addresses in the config: which of them are this machine itself."""

from ipaddress import ip_address


def is_loopback(hostname: str) -> bool:
    """Whether what is sent there stays on this machine (RFC 6761 6.3, RFC 1122 3.2.1.3, RFC 4291 2.5.3)."""
    if hostname == "localhost" or hostname.endswith(".localhost"):
        return True
    try:
        return ip_address(hostname).is_loopback
    except ValueError:
        return False
