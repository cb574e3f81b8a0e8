"""The kernel's messages about links, addresses and routes, read from bytes (rtnetlink(7), linux/rtnetlink.h).

Pure. Only what decides which way packets of this device go is read; everything else is left out without a word, as is a
message that is cut short or makes no sense: the kernel may say more than this program knows.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE = 0x1, 0x10, 0x40
RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE = 0x100, 0x400
GROUPS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE
RT_SCOPE_SITE = 200  # this and what is lower (universe: 0) leaves the link
RT_TABLE_LOCAL = 255
RTN_UNICAST = 1
IFF_UP, IFF_LOOPBACK = 0x1, 0x8
IFA_F_TEMPORARY, IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE = 0x01, 0x08, 0x20, 0x40

_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_NEXT_HOP = struct.Struct("=HBBi")  # rtnexthop: length, flags, hops, index
_U32 = struct.Struct("=I")
_I32 = struct.Struct("=i")
_IFLA_IFNAME = 3
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_MULTIPATH, _RTA_TABLE, _RTA_VIA = 4, 5, 6, 9, 15, 18
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_IP_BYTES: dict[int, int] = {socket.AF_INET: 4, socket.AF_INET6: 16}


@dataclass(frozen=True)
class Link:
    """An interface. `up` is what `ip link set up` sets; a pulled cable leaves it as it is."""

    added: bool
    index: int
    name: str
    up: bool
    loopback: bool


@dataclass(frozen=True)
class Address:
    """An address of an interface, as text. `scope` is 0 for the world, higher for less of it."""

    added: bool
    index: int
    address: str
    scope: int
    flags: int


@dataclass(frozen=True)
class DefaultRoute:
    """A default route: where packets go that no other route of its table wants. One for each next hop.

    `gateway` is empty where the link itself is the way (a VPN, a modem).
    """

    added: bool
    family: int  # AF_INET or AF_INET6
    table: int
    index: int
    gateway: str
    priority: int  # the metric: the lowest wins


@dataclass(frozen=True)
class End:
    """The answer to a request is complete; `errno` is 0 if all went well."""

    errno: int


Message = Link | Address | DefaultRoute | End


def dump_request(kind: int, sequence: int) -> bytes:
    """The request for all links, addresses or routes: `kind` is RTM_GETLINK, RTM_GETADDR or RTM_GETROUTE."""
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)  # the longest of the three headers; the others begin the same
    return _HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST | _NLM_F_DUMP, sequence, 0) + body


def messages(data: bytes) -> Iterator[Message]:
    """What one datagram of the kernel says, in its order."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            return
        body = data[at + _HEADER.size : at + length]
        with contextlib.suppress(struct.error):  # shorter than its own header
            yield from _message(kind, body)
        at += _aligned(length)


def _message(kind: int, body: bytes) -> Iterator[Message]:
    if kind in (RTM_NEWLINK, RTM_DELLINK):
        yield from _link(kind == RTM_NEWLINK, body)
    elif kind in (RTM_NEWADDR, RTM_DELADDR):
        yield from _address(kind == RTM_NEWADDR, body)
    elif kind in (RTM_NEWROUTE, RTM_DELROUTE):
        yield from _default_routes(kind == RTM_NEWROUTE, body)
    elif kind in (NLMSG_ERROR, NLMSG_DONE):
        yield End(
            -_I32.unpack_from(body)[0] if len(body) >= _I32.size else 0
        )  # the kernel's error numbers are negative


def _link(added: bool, body: bytes) -> Iterator[Link]:
    family, _type, index, flags, _change = _LINK.unpack_from(body)
    name = _attributes(body[_LINK.size :]).get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
    if family == socket.AF_UNSPEC and name:  # other families speak of the link as a bridge's port, for example
        yield Link(added, index, name, bool(flags & IFF_UP), bool(flags & IFF_LOOPBACK))


def _address(added: bool, body: bytes) -> Iterator[Address]:
    family, _prefix, flags, scope, index = _ADDRESS.unpack_from(body)
    attributes = _attributes(body[_ADDRESS.size :])
    # On a point-to-point link IFA_ADDRESS is the far end.
    address = _ip(family, attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b""))
    if address:
        yield Address(added, index, address, scope, _u32(attributes.get(_IFA_FLAGS)) or flags)


def _default_routes(added: bool, body: bytes) -> Iterator[DefaultRoute]:
    family, dst_len, _src_len, _tos, table, _protocol, _scope, kind, _flags = _ROUTE.unpack_from(body)
    if dst_len or kind != RTN_UNICAST or family not in _IP_BYTES:
        return
    attributes = _attributes(body[_ROUTE.size :])
    table = _u32(attributes.get(_RTA_TABLE)) or table
    priority = _u32(attributes.get(_RTA_PRIORITY))
    hops = [(_u32(attributes.get(_RTA_OIF)), attributes)]
    if _RTA_MULTIPATH in attributes:
        hops = list(_next_hops(attributes[_RTA_MULTIPATH]))
    for index, hop in hops:
        if index and table != RT_TABLE_LOCAL:
            yield DefaultRoute(added, family, table, index, _gateway(family, hop), priority)


def _gateway(family: int, hop: dict[int, bytes]) -> str:
    if _RTA_VIA in hop and len(hop[_RTA_VIA]) > 2:  # an IPv4 route by an IPv6 router: family, then address
        return _ip(int.from_bytes(hop[_RTA_VIA][:2], sys.byteorder), hop[_RTA_VIA][2:])
    return _ip(family, hop.get(_RTA_GATEWAY, b""))


def _next_hops(data: bytes) -> Iterator[tuple[int, dict[int, bytes]]]:
    at = 0
    while at + _NEXT_HOP.size <= len(data):
        length, _flags, _hops, index = _NEXT_HOP.unpack_from(data, at)
        if length < _NEXT_HOP.size or at + length > len(data):
            return
        yield index, _attributes(data[at + _NEXT_HOP.size : at + length])
        at += _aligned(length)


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            break
        found[kind & _TYPE_MASK] = data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return found


def _ip(family: int, packed: bytes) -> str:
    return str(ipaddress.ip_address(packed)) if len(packed) == _IP_BYTES.get(family, -1) else ""


def _u32(packed: bytes | None) -> int:
    return int(_U32.unpack(packed)[0]) if packed is not None and len(packed) == _U32.size else 0


def _aligned(length: int) -> int:
    return (length + 3) & ~3
