"""Bytes as the kernel writes them, and bytes as nobody should."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network import rtnetlink
from agent.network.rtnetlink import Address, DefaultRoute, End, Link, messages


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body + bytes(-len(body) % 4)


def link(kind: int = rtnetlink.RTM_NEWLINK, flags: int = 0x1, name: bytes = b"wlan0", family: int = 0) -> bytes:
    return message(kind, struct.pack("=BxHiII", family, 1, 3, flags, 0) + attribute(3, name + b"\0"))


def address(kind: int, text: str, flags: int = 0x80, *, wide_flags: int | None = None, peer: str = "") -> bytes:
    packed = ipaddress.ip_address(text).packed
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    body = struct.pack("=BBBBI", family, 24, flags, 0, 3)
    body += attribute(1, ipaddress.ip_address(peer).packed if peer else packed)
    body += attribute(2, packed) if peer else b""
    body += attribute(8, struct.pack("=I", wide_flags)) if wide_flags is not None else b""
    return message(kind, body)


def route(*attributes: bytes, dst_len: int = 0, family: int = socket.AF_INET, table: int = 254, kind: int = 1) -> bytes:
    header = struct.pack("=BBBBBBBBI", family, dst_len, 0, 0, table, 3, 0, kind, 0)
    return message(rtnetlink.RTM_NEWROUTE, header + b"".join(attributes))


OIF = attribute(4, struct.pack("=I", 3))
GATEWAY = attribute(5, bytes([192, 168, 1, 1]))
METRIC = attribute(6, struct.pack("=I", 600))
DEFAULT = DefaultRoute(True, socket.AF_INET, 254, 3, "192.168.1.1", 600)


def test_links() -> None:
    assert list(messages(link())) == [Link(True, 3, "wlan0", up=True, loopback=False)]
    gone = link(rtnetlink.RTM_DELLINK, flags=0x8, name=b"lo")
    assert list(messages(gone)) == [Link(False, 3, "lo", up=False, loopback=True)]
    assert list(messages(link(family=socket.AF_BRIDGE))) == []


def test_addresses() -> None:
    data = address(rtnetlink.RTM_NEWADDR, "192.168.1.5") + address(rtnetlink.RTM_DELADDR, "2001:db8::5")
    assert list(messages(data)) == [
        Address(True, 3, "192.168.1.5", 0, 0x80),
        Address(False, 3, "2001:db8::5", 0, 0x80),
    ]


def test_flags_that_do_not_fit_a_byte_and_the_near_end_of_a_point_to_point_link() -> None:
    data = address(rtnetlink.RTM_NEWADDR, "10.0.0.1", flags=0, wide_flags=0x240, peer="10.0.0.2")
    assert list(messages(data)) == [Address(True, 3, "10.0.0.1", 0, 0x240)]


def test_default_routes() -> None:
    assert list(messages(route(OIF, GATEWAY, METRIC))) == [DEFAULT]
    by_link = DefaultRoute(True, socket.AF_INET6, 254, 3, "", 0)
    assert list(messages(route(OIF, family=socket.AF_INET6))) == [by_link]
    wide_table = attribute(15, struct.pack("=I", 51820))
    assert next(iter(messages(route(OIF, wide_table, table=0)))).table == 51820  # type: ignore[union-attr]


def test_a_route_by_several_ways_and_one_by_a_router_of_the_other_family() -> None:
    ways = b""
    for index, last in ((3, 1), (4, 2)):
        gateway = attribute(5, bytes([10, 0, 0, last]))
        ways += struct.pack("=HBBi", 8 + len(gateway), 0, 0, index) + gateway
    found = list(messages(route(attribute(9, ways), METRIC)))
    assert found == [
        DefaultRoute(True, socket.AF_INET, 254, 3, "10.0.0.1", 600),
        DefaultRoute(True, socket.AF_INET, 254, 4, "10.0.0.2", 600),
    ]
    via = attribute(18, struct.pack("=H", socket.AF_INET6) + ipaddress.ip_address("fe80::1").packed)
    assert next(iter(messages(route(OIF, via)))).gateway == "fe80::1"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "other",
    [
        route(OIF, dst_len=24),  # one network's
        route(OIF, kind=7),  # "unreachable"
        route(OIF, table=255),  # the kernel's own
        route(GATEWAY),  # nowhere
        route(OIF, family=socket.AF_BRIDGE),
    ],
)
def test_other_routes_are_left_out(other: bytes) -> None:
    assert list(messages(other)) == []


def test_the_end_of_an_answer_and_an_error() -> None:
    assert list(messages(message(rtnetlink.NLMSG_DONE, struct.pack("=i", 0)))) == [End(0)]
    assert list(messages(message(rtnetlink.NLMSG_DONE, b""))) == [End(0)]
    assert list(messages(message(rtnetlink.NLMSG_ERROR, struct.pack("=i", -1) + bytes(16)))) == [End(1)]


@given(st.integers(0, 400))
def test_what_is_cut_short_is_left_out_and_the_rest_is_read(length: int) -> None:
    whole = [link(), address(rtnetlink.RTM_NEWADDR, "192.168.1.5"), route(OIF, GATEWAY, METRIC)]
    found = list(messages(b"".join(whole)[:length]))
    complete = sum(length >= sum(map(len, whole[: count + 1])) for count in range(3))
    assert len(found) == complete


@given(st.binary(max_size=200), st.sampled_from([2, 3, 16, 17, 20, 21, 24, 25, 99]))
def test_garbage_raises_nothing(body: bytes, kind: int) -> None:
    list(messages(body))
    assert list(messages(message(kind, body) + route(OIF, GATEWAY, METRIC)))[-1] == DEFAULT


@given(st.binary(max_size=120), st.sampled_from([link(), address(20, "10.0.0.1"), route(OIF, GATEWAY)]), st.data())
def test_broken_attributes_raise_nothing(noise: bytes, good: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(good)))
    list(messages(good[:at] + noise + good[at:]))
