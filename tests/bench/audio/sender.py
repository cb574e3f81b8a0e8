"""The far end of every receiver: one Opus stream, coded once, sent over any number of connections at once.

The packets of one stream are the same bytes for every receiver, their RTP sequence begins with the same number, and
they leave at the same instant of the sender's clock, which may run too fast or too slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.media import rtp
from agent.media.codecs.opus import Decoder, Encoder
from agent.media.messages import SrtpKeys
from agent.media.srtp import SrtpSession
from agent.rtc.peer import AudioPeer, Connected, Failed, PeerEvent, PeerSettings
from tests.bench.audio.priority import lift_this_thread

PTIME_MS = 20
PACKET_FRAMES = 960
BITRATE_BPS = 32000
COMPLEXITY = 10
FEC_LOSS_PERCENT = 10
FIRST_SEQUENCE = 65400  # wraps after three seconds: receivers have to live with that
FIRST_TIMESTAMP = 0xFFFF0000
CONNECT_S = 20.0

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Coded:
    """A stream's packets, and what a receiver makes of them that gets every one: int16 mono 48 kHz."""

    packets: tuple[bytes, ...]
    decoded: Samples


def code(samples: Samples) -> Coded:
    """48 kHz mono, 32 kb/s VBR, 20 ms, in-band FEC for 10 % loss."""
    encoder, decoder = Encoder(PTIME_MS), Decoder()
    encoder.set_bitrate(BITRATE_BPS)
    encoder.set_complexity(COMPLEXITY)
    encoder.set_fec(True)
    encoder.set_packet_loss(FEC_LOSS_PERCENT)
    packets, pieces = [], []
    for at in range(0, samples.size, PACKET_FRAMES):
        encoder.samples[:] = samples[at : at + PACKET_FRAMES].tobytes()
        packets.append(bytes(encoder.packet[: encoder.encode()]))
        frames = decoder.decode(packets[-1])
        pieces.append(bytes(decoder.samples[: 2 * frames]))
    encoder.close()
    decoder.close()
    return Coded(tuple(packets), np.frombuffer(b"".join(pieces), dtype=np.int16))


class Connection:
    """One ICE/DTLS/SRTP connection to a receiver. `offer`, then `accept`; then the stream may be sent."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[PeerEvent] = asyncio.Queue()
        self._peer = AudioPeer(PeerSettings(loopback=True, codecs=("opus",)), self._events.put_nowait)
        self._socket: socket.socket | None = None

    async def offer(self) -> str:
        return await self._peer.offer()

    async def accept(self, answer: str) -> None:
        """Returns when RTP may be sent. Raises ConnectionError."""
        await self._peer.accept_answer(answer)
        async with asyncio.timeout(CONNECT_S):
            while not isinstance(event := await self._events.get(), Connected):
                if isinstance(event, Failed):
                    raise ConnectionError(event.text)
        handover = event.handover
        keys = SrtpKeys(handover.srtp_profile, handover.tx_key, handover.rx_key)
        self._protect = SrtpSession(keys, handover.ssrc).protect
        self._ssrc, self._payload_type, self._remote = handover.ssrc, handover.payload_type, handover.remote
        self._peer.resume_reading()  # there is no media process: consent checks are answered by the peer itself
        self._socket = socket.socket(fileno=os.dup(handover.fd))

    def protected(self, packets: tuple[bytes, ...]) -> list[bytes]:
        """The stream as SRTP, ready to leave."""
        return [
            self._protect(
                rtp.pack(
                    payload,
                    payload_type=self._payload_type,
                    sequence=FIRST_SEQUENCE + number,
                    timestamp=FIRST_TIMESTAMP + number * PACKET_FRAMES,
                    ssrc=self._ssrc,
                    marker=number == 0,
                )
            )
            for number, payload in enumerate(packets)
        ]

    def send(self, datagram: bytes) -> None:
        assert self._socket is not None
        assert self._remote is not None
        with contextlib.suppress(OSError):  # a full queue loses packets; the link's count would show it
            self._socket.sendto(datagram, self._remote)

    async def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        await self._peer.close()


@dataclass
class Broadcast:
    """One stream on its way to several connections. `sent_s[n]` is when packet n left for the first of them, `late_s`
    how much later than planned the latest packet was: a machine that stood still."""

    coded: Coded
    connections: list[Connection]
    drift_ppm: float = 0.0  # of the sender's clock: positive is too fast
    sent_s: list[float] = field(default_factory=list)
    late_s: float = 0.0


def _send_all(broadcasts: list[Broadcast], start_s: float) -> None:
    lift_this_thread()
    ready = [[one.protected(broadcast.coded.packets) for one in broadcast.connections] for broadcast in broadcasts]
    plan = []
    for number, broadcast in enumerate(broadcasts):
        interval_s = PTIME_MS / 1000 / (1 + broadcast.drift_ppm * 1e-6)
        # The streams of a round leave spread over a packet's length: at once they would be each other's jitter.
        offset_s = PTIME_MS / 1000 * number / len(broadcasts)
        plan += [(start_s + offset_s + i * interval_s, number, i) for i in range(len(broadcast.coded.packets))]
    for due_s, number, i in sorted(plan):
        wait_s = due_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        broadcasts[number].sent_s.append(now_s := time.monotonic())
        broadcasts[number].late_s = max(broadcasts[number].late_s, now_s - due_s)
        for connection, datagrams in zip(broadcasts[number].connections, ready[number], strict=True):
            connection.send(datagrams[i])


async def send(broadcasts: list[Broadcast]) -> None:
    """Send all of them at the pace of their clocks. Returns when the last packet has left."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            _send_all(broadcasts, time.monotonic() + 0.5)
        finally:
            loop.call_soon_threadsafe(done.set)

    thread = threading.Thread(target=run, name="sender")
    thread.start()
    await done.wait()
    thread.join()
