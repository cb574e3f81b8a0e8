"""The device is moved to another network in the middle of a call: the line is back at once and the talk goes on.

Everything happens in two network namespaces that the test makes, with two networks between them and a router's address
beyond both, which only the default route leads to:

    device ── home 10.77.1.2 ─────── 10.77.1.1 ──┐
        └──── guest (10.77.2.2) ──── 10.77.2.1 ──┴── 10.77.0.1: gateway and far end
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.lab import voice
from agent.lab.far_end import BROWSER, FarEnd
from agent.lab.gateway import LabGateway
from agent.lab.voice import RATE_HZ
from tests.device import PASSWORD, PATIENCE_S, config_of
from tests.interop.daemon import Daemon, daemon
from tests.rtc.coturn import make_certificate
from tests.talking import TALK, loud_seconds

GATEWAY = "10.77.0.1"
DEVICE, LAB = (f"callpoint-{os.getpid()}-{side}" for side in ("device", "lab"))
CLONE_NEWNET = 0x40000000
COPY_BYTES = 64 * 1024

# Each change in the words of ip(8), said in the device's namespace.
ANOTHER_NETWORK = (
    "addr del 10.77.1.2/24 dev home",
    "addr add 10.77.2.2/24 dev guest",
    "route add default via 10.77.2.1",
)
ANOTHER_ADDRESS = (
    "addr del 10.77.1.2/24 dev home",
    "addr add 10.77.1.3/24 dev home",
    "route replace default via 10.77.1.1",
)
ROUTE_MOVED = ("addr add 10.77.2.2/24 dev guest", "route replace default via 10.77.2.1")
CABLE_PULLED = ("link set home down", "addr add 10.77.2.2/24 dev guest", "route add default via 10.77.2.1")
BACK_AND_FORTH = ("route replace default via 10.77.1.1", "route replace default via 10.77.2.1")


def ip(*words: str) -> None:
    subprocess.run(["ip", *" ".join(words).split()], check=True, capture_output=True, text=True)


def _why_not() -> str | None:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "needs root and ip(8), to make network namespaces"
    done = subprocess.run(["ip", "netns", "add", f"{LAB}-probe"], check=False, capture_output=True)
    if done.returncode == 0:
        ip("netns del", f"{LAB}-probe")
        return None
    return "this system gives no network namespaces"


MISSING = _why_not()
pytestmark = [pytest.mark.interop, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]


@pytest.fixture
def networks() -> Iterator[None]:
    """Both namespaces; this thread, and so the lab, is in the lab's until the end."""
    former = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for name in (DEVICE, LAB):
            ip("netns add", name)
            ip("-n", name, "link set lo up")
        ip("-n", LAB, f"addr add {GATEWAY}/32 dev lo")
        for network, link in (("10.77.1", "home"), ("10.77.2", "guest")):
            ip("-n", LAB, f"link add name {link} type veth peer name {link} netns", DEVICE)
            ip("-n", LAB, f"addr add {network}.1/24 dev {link}")
            ip("-n", LAB, f"link set {link} up")
            ip("-n", DEVICE, f"link set {link} up")
        in_device("addr add 10.77.1.2/24 dev home", "route add default via 10.77.1.1")
        with Path(f"/run/netns/{LAB}").open("rb") as lab:
            enter(lab.fileno())
        yield
    finally:
        enter(former)
        os.close(former)
        for name in (DEVICE, LAB):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def in_device(*commands: str) -> None:
    for command in commands:
        ip("-n", DEVICE, command)


@contextlib.asynccontextmanager
async def encrypted(port: int, folder: Path) -> AsyncIterator[tuple[int, Path]]:
    """TLS at the router's address in front of the gateway; its port and certificate."""
    certificate, key = make_certificate(folder, GATEWAY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    tasks: set[asyncio.Task[Any]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(COPY_BYTES):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(asyncio.CancelledError):  # which Python 3.11's streams report as an error
            await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    server = await asyncio.start_server(serve, GATEWAY, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], certificate
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Talk:
    """A call between the daemon in its namespace and a far end in the other, that talk without a pause."""

    def __init__(self, gateway: LabGateway, door: Daemon, far_end: FarEnd) -> None:
        self.gateway, self.door, self.far_end = gateway, door, far_end

    async def both_hear_each_other(self) -> None:
        """From now on, for seconds, at both ends."""
        frames, seen = self.far_end.heard.audible_frames, len(self.door.events)
        async with asyncio.timeout(PATIENCE_S):
            while self.far_end.heard.audible_frames < frames + 2 * RATE_HZ or not self._hears():
                await asyncio.sleep(0.05)

        def plays(event: dict[str, Any]) -> bool:
            loud = event["type"] == "figures" and event["playback_dbfs"] > -20
            return loud and any(event is each for each in self.door.events[seen + 1 :])

        await self.door.until(plays)

    def _hears(self) -> bool:
        return loud_seconds(self.far_end.heard.samples[-RATE_HZ:]) > 0.9

    @property
    def talks_to(self) -> str:
        """The device's address, as the far end's newest path has it."""
        connection = self.far_end._links[-1]._peer.getSenders()[0].transport.transport._connection
        return str(connection._nominated[1].remote_addr[0])


@contextlib.asynccontextmanager
async def talking(folder: Path, *, attaches: bool, **call_defaults: Any) -> AsyncIterator[Talk]:
    voice.write_wav(folder / "says.wav", TALK[: 5 * RATE_HZ])
    async with LabGateway(users={"door": PASSWORD}, trickles=True) as gateway:
        gateway.faults.attach_calls = attaches
        style = replace(BROWSER, greeting=TALK, echo=False)
        gateway.register_far_end("talker", lambda: FarEnd(style))
        async with encrypted(gateway.port, folder) as (port, certificate):
            line = {"host": f"wss://{GATEWAY}:{port}", "login": "door", "password": PASSWORD}
            config = config_of(
                "",
                folder,
                lines={"lab": {**line, "ca_file": str(certificate)}},
                audio={"profile": "virtual", "capture": f"wav:{folder}/says.wav", "playback": "virtual:null"},
                call_defaults={"iceServers": [], **call_defaults},
                targets={"talker": {"destinationNumber": "talker"}},
            )
            async with daemon(config, folder, runner=("ip", "netns", "exec", DEVICE)) as door:
                await door.ask("call", target="talker")
                await door.call_state("active")
                far_end = gateway.legs[-1].far_end
                assert far_end is not None
                talk = Talk(gateway, door, far_end)
                await talk.both_hear_each_other()
                yield talk
                await door.ask("hangup")
                assert (await door.ended())["reason"] == "local_hangup"
                assert len(gateway.legs) == 1


@pytest.mark.parametrize(
    ("change", "address", "attaches"),
    [
        (ANOTHER_NETWORK, "10.77.2.2", False),
        (ANOTHER_NETWORK, "10.77.2.2", True),
        (ANOTHER_ADDRESS, "10.77.1.3", False),
        (CABLE_PULLED, "10.77.2.2", False),
    ],
    ids=["another network", "another network, attach", "another address", "cable pulled"],
)
async def test_the_call_goes_on_over_the_new_address(
    networks: None, change: tuple[str, ...], address: str, attaches: bool, tmp_path: Path
) -> None:
    async with talking(tmp_path, attaches=attaches) as talk:
        assert talk.talks_to == "10.77.1.2"
        visits = len(talk.gateway.visits)
        in_device(*change)
        await talk.door.until(lambda event: event["type"] == "network_changed")
        async with asyncio.timeout(PATIENCE_S):
            await talk.gateway.wait_received("login", visits + 1)
        await talk.both_hear_each_other()
        assert talk.talks_to == address
        states = [event for event in talk.door.events if event["type"] == "line_state"]
        assert not any("does not answer pings" in event["detail"] for event in states)
        assert not any("next try in" in event["detail"] for event in states)  # no back-off either


async def test_a_default_route_that_moves_while_the_addresses_stay(networks: None, tmp_path: Path) -> None:
    async with talking(tmp_path, attaches=False) as talk:
        in_device(*ROUTE_MOVED)
        await talk.door.until(lambda event: event["type"] == "network_changed")
        async with asyncio.timeout(PATIENCE_S):
            await talk.gateway.wait_received("login", 2)
        await talk.both_hear_each_other()


async def test_a_network_that_flaps_every_second_costs_no_call(networks: None, tmp_path: Path) -> None:
    async with talking(tmp_path, attaches=True) as talk:
        in_device("addr add 10.77.2.2/24 dev guest")
        for times in range(1, 5):
            in_device(BACK_AND_FORTH[times % 2])
            async with asyncio.timeout(PATIENCE_S):
                await talk.gateway.wait_received("login", times + 1)
        await talk.both_hear_each_other()


async def test_a_network_that_is_away_for_a_while(networks: None, tmp_path: Path) -> None:
    """Without any address the line fails at once and waits; the new address ends the wait."""
    async with talking(tmp_path, attaches=False) as talk:
        in_device("addr del 10.77.1.2/24 dev home")
        await talk.door.until(lambda event: event["type"] == "line_state" and "next try in" in event["detail"])
        in_device("addr add 10.77.2.2/24 dev guest", "route add default via 10.77.2.1")
        await talk.both_hear_each_other()
        assert talk.talks_to == "10.77.2.2"
