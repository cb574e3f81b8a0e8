"""Whether a Wi-Fi interface saves power: the kernel's wireless extensions (<linux/wireless.h>)."""

from __future__ import annotations

import fcntl
import socket
import struct

SIOCGIWPOWER = 0x8B2D
_REQUEST = struct.Struct("16siBBH8x")  # interface, value, fixed, disabled, flags


def power_save(interface: str) -> bool | None:
    """None where it cannot be seen."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, SIOCGIWPOWER, _REQUEST.pack(interface.encode(), 0, 0, 0, 0))
        except OSError:
            return None
    return not _REQUEST.unpack(answer)[3]
