"""Which changes of the network matter, and how they are told."""

from __future__ import annotations

import socket

import pytest

from agent.network.picture import Picture
from agent.network.rtnetlink import Address, DefaultRoute, Link, Message

LO = Link(True, 1, "lo", up=True, loopback=True)
ETH0 = Link(True, 2, "eth0", up=True, loopback=False)
WLAN0 = Link(True, 3, "wlan0", up=True, loopback=False)
DOCKER0 = Link(True, 4, "docker0", up=True, loopback=False)
LINKS = [LO, ETH0, WLAN0, DOCKER0]
PERMANENT, TEMPORARY, DEPRECATED, TENTATIVE = 0x80, 0x01, 0x20, 0x40


def address(link: Link, text: str, flags: int = PERMANENT, scope: int = 0, *, added: bool = True) -> Address:
    return Address(added, link.index, text, scope, flags)


def default(link: Link, gateway: str, priority: int = 100, *, added: bool = True, table: int = 254) -> DefaultRoute:
    family = socket.AF_INET6 if ":" in gateway else socket.AF_INET
    return DefaultRoute(added, family, table, link.index, gateway, priority)


LOOPBACK = address(LO, "127.0.0.1", scope=254)
WIRED: list[Message] = [address(ETH0, "10.0.0.5"), default(ETH0, "10.0.0.1")]
WIRELESS: list[Message] = [address(WLAN0, "192.168.1.5"), default(WLAN0, "192.168.1.1", 600)]


def change(before: list[Message], after: list[Message]) -> str:
    return Picture.of([*LINKS, LOOPBACK, *before]).change_to(Picture.of([*LINKS, LOOPBACK, *after]))


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (WIRELESS, WIRED, "wlan0 lost 192.168.1.5; eth0 got 10.0.0.5; default route now by eth0"),
        ([*WIRED, *WIRELESS], WIRELESS, "eth0 lost 10.0.0.5; default route now by wlan0"),
        (WIRED, [], "eth0 lost 10.0.0.5; no default route any more"),
        ([], WIRED, "eth0 got 10.0.0.5; default route now by eth0"),
        (WIRED, [WIRED[0], default(ETH0, "10.0.0.254")], "default route now by eth0 through 10.0.0.254"),
        (WIRED, [*WIRED, default(ETH0, "fe80::1")], "IPv6 default route now by eth0"),
        (WIRELESS, [address(WLAN0, "192.168.1.7"), WIRELESS[1]], "wlan0 lost 192.168.1.5; wlan0 got 192.168.1.7"),
        ([address(ETH0, "10.0.0.5")], [], "eth0 lost 10.0.0.5"),  # a network without a way out
    ],
)
def test_what_changed_is_told(before: list[Message], after: list[Message], sentence: str) -> None:
    assert change(before, after) == sentence


@pytest.mark.parametrize(
    "more",
    [
        [address(ETH0, "fe80::5", scope=253)],  # link-local
        [address(ETH0, "2001:db8::5", TENTATIVE)],
        [address(ETH0, "2001:db8::5", TEMPORARY)],  # every day another one
        [address(ETH0, "2001:db8::5", DEPRECATED)],
        [address(DOCKER0, "172.17.0.1")],
        [address(ETH0, "127.0.0.2", scope=254)],
        WIRELESS,  # beside a better way, over which everything goes
        [Link(True, 9, "veth0", up=True, loopback=False)],
    ],
)
def test_what_does_not_matter_is_not_told(more: list[Message]) -> None:
    assert change(WIRED, [*WIRED, *more]) == ""


def test_an_address_that_only_grows_old_is_no_change_but_its_end_is_one() -> None:
    young, old = [*WIRED, address(ETH0, "2001:db8::5")], [*WIRED, address(ETH0, "2001:db8::5", DEPRECATED)]
    assert change(young, old) == change(old, young) == ""
    assert change(old, WIRED) == "eth0 lost 2001:db8::5"


def test_a_second_ipv4_address_of_a_network_is_no_temporary_one() -> None:
    assert change(WIRED, [*WIRED, address(ETH0, "10.0.0.6", PERMANENT | TEMPORARY)]) == "eth0 got 10.0.0.6"


def test_an_interface_that_is_down_carries_nothing() -> None:
    down = Link(True, 2, "eth0", up=False, loopback=False)
    assert Picture.of([*LINKS, *WIRED]).change_to(Picture.of([LO, down, WLAN0, DOCKER0, *WIRED])) == (
        "eth0 lost 10.0.0.5; no default route any more"
    )


PICTURE = Picture.of([*LINKS, LOOPBACK, *WIRED, address(ETH0, "2001:db8::5")])


@pytest.mark.parametrize(
    "news",
    [
        WIRED[0],  # DHCP has renewed it
        address(ETH0, "2001:db8::5", DEPRECATED),
        address(ETH0, "fe80::7", scope=253),
        address(LO, "127.0.0.9"),
        WIRED[1],  # the router has advertised itself again
        ETH0,  # its statistics, or a Wi-Fi scan
        Link(False, 77, "veth7", up=False, loopback=False),
    ],
)
def test_refreshes_do_not_make_anybody_look(news: Message) -> None:
    assert not PICTURE.may_change(news)


@pytest.mark.parametrize(
    "news",
    [
        address(ETH0, "10.0.0.5", added=False),
        address(ETH0, "10.0.0.6"),
        default(ETH0, "10.0.0.1", added=False),
        default(WLAN0, "192.168.1.1"),
        Link(True, 2, "eth0", up=False, loopback=False),
        Link(False, 2, "eth0", up=False, loopback=False),
        address(ETH0, "2001:db8::5", TENTATIVE),
    ],
)
def test_news_make_one_look(news: Message) -> None:
    assert PICTURE.may_change(news)
