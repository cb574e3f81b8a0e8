"""The link emulator: `python -m tests.bench.audio.link`, a process that stands between UDP peers and impairs RTP.

Each link has two ports. What peer A sends to the one leaves the other for peer B, and the other way round; ICE agents
are given these ports as each other's candidates (`through`). RTP from A to B meets the link's `Impairment`; STUN, DTLS,
RTCP and the other direction pass at once. JSON, one object a line, on stdin and stdout; ends with its stdin:

    {"do": "open", "a": [host, port], "impairment": {...}}   ->  {"link": 0, "a_port": 1, "b_port": 2}
    {"do": "far", "link": 0, "b": [host, port]}              ->  {}
    {"do": "close", "link": 0}                               ->  {"passed": 9, "lost": 1, "late_ms": [p50, p99, max]}

`late_ms` is how much later than decided packets left, counted from the kernel's time stamp of their arrival: the
emulator's own error.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import json
import os
import re
import select
import socket
import struct
import sys
import time
from dataclasses import asdict
from typing import Any

from tests.bench.audio.impairments import Fate, Impairment
from tests.bench.audio.priority import lift_this_thread

Address = tuple[str, int]

HOST = "127.0.0.1"
MAX_DATAGRAM_BYTES = 2048
IDLE_S = 1.0
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_TIMESPEC = struct.Struct("@qq")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_HOST_CANDIDATE = re.compile(
    r"^a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host", re.MULTILINE | re.IGNORECASE
)
_RTCP_TYPES = range(64, 96)  # the second byte less its marker bit (RFC 5761 4)


def is_rtp(data: bytes) -> bool:
    """RTP, and not RTCP, STUN or DTLS (RFC 7983, RFC 5761)."""
    return len(data) >= 12 and 128 <= data[0] <= 191 and data[1] & 0x7F not in _RTCP_TYPES


def through(sdp: str, port: int) -> tuple[str, Address]:
    """The description with `port` of this machine as its only candidate, and the address it had before.

    Raises ValueError when it has no UDP candidate on IPv4.
    """
    found = _HOST_CANDIDATE.findall(sdp)
    if not found:
        raise ValueError("the description has no host candidate on IPv4")
    host, real_port = next((one for one in found if one[0] == HOST), found[0])
    lines = [line for line in sdp.splitlines() if not line.startswith(("a=candidate:", "a=end-of-candidates"))]
    at = next(i for i, line in enumerate(lines) if line.startswith("m=audio")) + 1
    while at < len(lines) and lines[at].startswith(("i=", "c=", "b=")):
        at += 1
    lines.insert(at, f"a=candidate:1 1 udp 2130706431 {HOST} {port} typ host")
    return "\r\n".join(lines) + "\r\n", (host, int(real_port))


class Link:
    """Two sockets and the fate of what goes from A to B."""

    def __init__(self, a: Address, impairment: Impairment) -> None:
        self.a, self.b = a, None
        self.b: Address | None
        self.a_socket, self.b_socket = _socket(), _socket()
        self.passed = self.lost = 0
        self.late_s: list[float] = []
        self._fate = Fate(impairment)
        self._first: int | None = None
        self._highest = 0

    def position(self, data: bytes) -> int:
        """Which packet of the stream this is, beginning with 0."""
        sequence = int.from_bytes(data[2:4], "big")
        if self._first is None:
            self._first = self._highest = sequence
        self._highest += ((sequence - self._highest + 0x8000) & 0xFFFF) - 0x8000
        return self._highest - self._first

    def departures_s(self, data: bytes, arrived_s: float) -> list[float]:
        leave_s = self._fate.departures_s(self.position(data), arrived_s, len(data))
        self.passed += bool(leave_s)
        self.lost += not leave_s
        return leave_s

    def figures(self) -> dict[str, Any]:
        late = sorted(1000 * one for one in self.late_s) or [0.0]
        picked = [late[len(late) // 2], late[len(late) * 99 // 100], late[-1]]
        return {"passed": self.passed, "lost": self.lost, "late_ms": [round(one, 3) for one in picked]}

    def close(self) -> None:
        self.a_socket.close()
        self.b_socket.close()


def _socket() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((HOST, 0))
    one.setblocking(False)
    one.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return one


class Emulator:
    """All links of the process, in one thread that waits for packets, for their time to leave, and for orders."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        self._sides: dict[socket.socket, tuple[Link, bool]] = {}  # True: packets of A come in here
        self._waiting: list[tuple[float, int, Link, bytes]] = []
        self._numbers = itertools.count()
        self._orders = b""

    def run(self) -> None:
        orders = sys.stdin.fileno()
        while True:
            wait_s = self._waiting[0][0] - time.monotonic() if self._waiting else IDLE_S
            readable, _, _ = select.select([orders, *self._sides], [], [], max(0.0, wait_s))
            for one in readable:
                if isinstance(one, socket.socket) and one in self._sides:
                    self._drain(one)
            self._release()
            if orders in readable:
                data = os.read(orders, 1 << 16)
                if not data:
                    return
                *lines, self._orders = (self._orders + data).split(b"\n")
                for line in lines:
                    print(json.dumps(self._obey(json.loads(line))), flush=True)

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "open":
                number = next(self._numbers)
                fields = order["impairment"]
                fields["lost_positions"] = tuple(fields.get("lost_positions", ()))
                link = self._links[number] = Link((order["a"][0], order["a"][1]), Impairment(**fields))
                self._sides[link.a_socket], self._sides[link.b_socket] = (link, True), (link, False)
                ports = [one.getsockname()[1] for one in (link.a_socket, link.b_socket)]
                return {"link": number, "a_port": ports[0], "b_port": ports[1]}
            case "far":
                self._links[order["link"]].b = (order["b"][0], order["b"][1])
                return {}
            case "close":
                link = self._links.pop(order["link"])
                del self._sides[link.a_socket], self._sides[link.b_socket]
                self._waiting = [one for one in self._waiting if one[2] is not link]
                heapq.heapify(self._waiting)
                link.close()
                return link.figures()
            case unknown:
                raise ValueError(f"the link emulator cannot {unknown!r}")

    def _drain(self, one: socket.socket) -> None:
        link, from_a = self._sides[one]
        while True:
            try:
                data, ancillary, _, address = one.recvmsg(MAX_DATAGRAM_BYTES, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of an earlier packet: that peer has gone
                continue
            if from_a and address == link.a and is_rtp(data):
                seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
                arrived_s = time.monotonic() - (time.time() - seconds - nanoseconds * 1e-9)
                for leaves_s in link.departures_s(data, arrived_s):
                    heapq.heappush(self._waiting, (leaves_s, next(self._numbers), link, data))
            elif from_a and link.b is not None:
                self._send(link.b_socket, data, link.b)
            elif not from_a and address == link.b:
                self._send(link.a_socket, data, link.a)

    def _release(self) -> None:
        while self._waiting and self._waiting[0][0] <= (now_s := time.monotonic()):
            leaves_s, _, link, data = heapq.heappop(self._waiting)
            if link.b is not None:
                self._send(link.b_socket, data, link.b)
                link.late_s.append(now_s - leaves_s)

    @staticmethod
    def _send(one: socket.socket, data: bytes, address: Address) -> None:
        with contextlib.suppress(OSError):  # a full queue or a peer that has gone loses packets, as a network does
            one.sendto(data, address)


class LinkProcess:
    """The emulator's process, for the time of an `async with`."""

    async def __aenter__(self) -> LinkProcess:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.audio.link", stdin=pipe, stdout=pipe
        )
        self._turn = asyncio.Lock()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def open(self, a: Address, impairment: Impairment) -> tuple[int, int, int]:
        """Number of the new link, the port that A sends to, and the port that B sends to."""
        reply = await self._ask({"do": "open", "a": a, "impairment": asdict(impairment)})
        return reply["link"], reply["a_port"], reply["b_port"]

    async def far(self, link: int, b: Address) -> None:
        await self._ask({"do": "far", "link": link, "b": b})

    async def close(self, link: int) -> dict[str, Any]:
        """What it did: see the module's text."""
        return await self._ask({"do": "close", "link": link})

    async def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            reply: dict[str, Any] = json.loads(await self._process.stdout.readline())
            return reply


def main() -> None:
    lift_this_thread()
    Emulator().run()


if __name__ == "__main__":
    main()
