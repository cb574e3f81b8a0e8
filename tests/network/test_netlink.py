"""The watch against the real kernel, in a network namespace that the test makes."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.network import netlink
from agent.network.netlink import NetworkWatch
from agent.network.picture import Picture

GUARD_S = 60.0
ROOT = Path(__file__).parents[2]

# Runs in the namespace. A step is a list of `ip` commands; each step waits for the change that it must cause, so that
# a change told too much shows up at the next step, and one told too little at the guard. The watch looks on while the
# commands run one after the other; with a long quiet time that is one change however slow the machine is.
SCRIPT = """
import asyncio, json, sys
from agent.network import netlink

STEPS = json.loads(sys.argv[1])
netlink.QUIET_S = float(sys.argv[2])
netlink.LONGEST_WAIT_S = 30.0

async def ip(commands):
    for command in commands:
        process = await asyncio.create_subprocess_exec("ip", *command.split())
        assert await process.wait() == 0, command

async def main():
    await ip(STEPS[0])
    told = asyncio.Queue()
    watch = asyncio.create_task(netlink.NetworkWatch(told.put_nowait).run())
    await asyncio.sleep(0)  # it subscribes and looks before it first waits
    for step in STEPS[1:]:
        await ip(step)
        print(json.dumps(await told.get()), flush=True)
    watch.cancel()
    await asyncio.wait([watch])

asyncio.run(main())
"""


def may_make_namespaces() -> bool:
    try:
        return subprocess.run(["unshare", "-n", "ip", "link"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


in_namespace = pytest.mark.skipif(
    os.geteuid() != 0 or not may_make_namespaces(), reason="needs root, unshare and iproute2 for a network of its own"
)


async def told_of(steps: list[list[str]], quiet_s: float) -> list[str]:
    command = ["unshare", "-n", sys.executable, "-c", SCRIPT, json.dumps(steps), str(quiet_s)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        out, _ = await asyncio.wait_for(process.communicate(), GUARD_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


TWO_LINKS = [
    "link set lo up",
    "link add eth0 type veth peer name switch",
    "link set switch up",
    "link set eth0 up",
    "link add wlan0 type veth peer name ap",
    "link set ap up",
    "link set wlan0 up",
    "addr add 10.0.0.5/24 dev eth0",
    "route add default via 10.0.0.1 dev eth0 metric 100",
]


@in_namespace
async def test_what_the_kernel_does_is_told() -> None:
    steps = {
        "eth0 lost 10.0.0.5; wlan0 got 192.168.1.5; default route now by wlan0": [
            "addr add 192.168.1.5/24 dev wlan0",
            "route add default via 192.168.1.1 dev wlan0 metric 600",
            "addr del 10.0.0.5/24 dev eth0",  # its routes go silently
        ],
        "default route now by wlan0 through 192.168.1.254": [
            "route replace default via 192.168.1.254 dev wlan0 metric 600"
        ],
        "wlan0 lost 192.168.1.5; no default route any more": ["link set wlan0 down"],
        "eth0 got 10.0.0.9; default route now by eth0": [
            "addr add 10.0.0.9/24 dev eth0",
            "route add default via 10.0.0.1 dev eth0",
        ],
        "eth0 got 2001:db8::5": ["addr add 2001:db8::5/64 dev eth0 nodad"],
        "IPv6 default route now by eth0": ["-6 route add default via 2001:db8::1 dev eth0"],
        "eth0 lost 10.0.0.9; eth0 lost 2001:db8::5; no default route any more; no IPv6 default route any more": [
            "link del eth0"
        ],
    }
    assert await told_of([TWO_LINKS, *steps.values()], 1.0) == list(steps)


@in_namespace
async def test_what_does_not_matter_and_what_is_undone_at_once_is_not_told() -> None:
    quiet = [
        "addr add 127.0.0.9/8 dev lo",
        "addr add fe80::77/64 dev eth0 scope link nodad",
        "link add veth0 type veth peer name veth1",  # a container comes and goes
        "link set veth1 up",
        "addr add 172.17.0.1/16 dev veth0",
        "link set veth0 up",
        "addr replace 10.0.0.5/24 dev eth0 valid_lft 900 preferred_lft 600",
        "addr del 10.0.0.5/24 dev eth0",  # a DHCP client that makes everything anew
        "addr add 10.0.0.5/24 dev eth0",
        "route add default via 10.0.0.1 dev eth0 metric 100",
        "link del veth0",
    ]
    seen = "addr add 10.0.0.6/24 dev eth0"
    assert await told_of([TWO_LINKS, [*quiet, seen]], 2.0) == ["eth0 got 10.0.0.6"]


async def test_news_that_were_dropped_count_as_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """A datagram that nobody reads in time is lost, and the kernel says ENOBUFS."""
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    monkeypatch.setattr(netlink, "_news_socket", lambda: ours)
    loop = asyncio.get_running_loop()
    recv, calls = loop.sock_recv, 0

    async def overrun_once(sock: socket.socket, size: int) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError(errno.ENOBUFS, "no buffer space")
        return await recv(sock, size)

    monkeypatch.setattr(loop, "sock_recv", overrun_once)
    told: asyncio.Queue[str] = asyncio.Queue()
    watch = asyncio.create_task(NetworkWatch(told.put_nowait).run())
    with kernels:
        async with asyncio.timeout(GUARD_S):
            assert await told.get() == "the network changed faster than it could be followed"
        kernels.send(b"\x00" * 7)  # garbage is no reason to look, nor to stop
        assert not watch.done()
        watch.cancel()
        await asyncio.wait([watch])
    assert calls >= 2


async def test_a_system_that_forbids_it_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def forbidden() -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(netlink, "_news_socket", forbidden)
    with caplog.at_level(logging.WARNING):
        await NetworkWatch(lambda _: None).run()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Permission denied" in caplog.text
    assert "AF_NETLINK" in caplog.text


async def test_a_look_that_fails_for_once_does_not_make_blind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What changed meanwhile is told when there is a look again."""
    pictures = [Picture(), OSError(errno.EMFILE, "Too many open files"), OSError(errno.EMFILE, "Too many open files")]
    pictures.append(Picture(fresh=frozenset({("eth0", "10.0.0.9")}), addresses=frozenset({("eth0", "10.0.0.9")})))

    def ask() -> Picture:
        said = pictures.pop(0)
        if isinstance(said, OSError):
            raise said
        return said

    async def news(_self: NetworkWatch, _news: socket.socket) -> bool:
        if len(pictures) == 3:
            return True  # reason to look, for the first time
        return await asyncio.Event().wait()

    monkeypatch.setattr(netlink, "_ask", ask)
    monkeypatch.setattr(netlink, "RETRY_S", 0.0)
    monkeypatch.setattr(netlink, "QUIET_S", 0.0)
    monkeypatch.setattr(NetworkWatch, "_may_have_changed", news)
    told: asyncio.Queue[str] = asyncio.Queue()
    watch = asyncio.create_task(NetworkWatch(told.put_nowait).run())
    async with asyncio.timeout(GUARD_S):
        assert await told.get() == "eth0 got 10.0.0.9"
    watch.cancel()
    await asyncio.wait([watch])
    assert caplog.text.count("Too many open files") == 1
