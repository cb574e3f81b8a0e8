"""A call on a virtual clock: two engines, a network between them that a test may spoil, and what is heard."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.media import counters
from agent.media.counters import Counters
from agent.media.engine import Engine
from agent.media.messages import OpusSetup, RtpSetup, SrtpKeys, TransportSetup
from agent.media.srtp import SrtpSession

PERIOD_FRAMES = 480
PERIOD_S = 0.01
RATE_HZ = 48000
OFFSET_S = 0.0031  # the far end's sound card ticks at another moment than ours
LATENCY_S = 0.002

Network = Callable[[int, float], list[float]]  # packet number and sending time -> when it arrives: none, one, more
Samples = NDArray[np.int16]

_KEY = bytes(range(44)), bytes(range(100, 144))


def speech(seconds: float, seed: int = 1) -> Samples:
    """Voiced syllables with gliding pitch and formants, breath between them: what SILK was made for."""
    generator = np.random.default_rng(seed)
    count = int(seconds * RATE_HZ)
    time = np.arange(count) / RATE_HZ
    pitch_hz = 120 + 25 * np.sin(2 * np.pi * 0.7 * time) + 10 * np.sin(2 * np.pi * 2.3 * time)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    voice = np.zeros(count)
    for harmonic in range(1, 26):
        frequency = harmonic * pitch_hz
        formants = sum(
            np.exp(-(((frequency - centre) / width) ** 2))
            for centre, width in ((600 + 150 * np.sin(2 * np.pi * 1.3 * time), 180), (1700, 250), (2600, 300))
        )
        voice += (formants + 0.02) * np.sin(harmonic * phase)
    syllables = np.clip(0.55 + 0.6 * np.sin(2 * np.pi * 3.1 * time + np.sin(2 * np.pi * 0.4 * time)), 0, 1)
    signal = voice / np.abs(voice).max() * syllables * 16000 + generator.normal(0, 20, count)
    return signal.astype(np.int16)


def keys(side: int) -> SrtpKeys:
    return SrtpKeys("SRTP_AEAD_AES_256_GCM", tx=_KEY[side], rx=_KEY[1 - side])


def transport(side: int, **rtp: int | str) -> TransportSetup:
    setup = RtpSetup(ssrc=1000 + side, payload_type=111, remote_payload_type=111, cname=f"side-{side}")
    return TransportSetup(remote=None, keys=keys(side), rtp=replace(setup, **rtp))


def page() -> Counters:
    fd = counters.create()
    try:
        return Counters(fd)
    finally:
        os.close(fd)


class Wire:
    """One engine's packet socket: what it sent, and what is to arrive when."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.arriving: list[tuple[float, bytes]] = []
        self.closed = False
        self.refused = self.send_errors = 0
        self.now_s = 0.0

    def receive(self) -> tuple[bytes, tuple[str, int] | None, float] | None:
        if not self.arriving or self.arriving[0][0] > self.now_s:
            return None
        arrival_s, data = self.arriving.pop(0)
        return data, ("192.0.2.1", 4000), self.now_s - arrival_s

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def add_source(self, address: tuple[str, int]) -> None:
        """Everything is from the far end."""

    def close(self) -> None:
        self.closed = True

    def deliver(self, data: bytes, arrival_s: float) -> None:
        self.arriving.append((arrival_s, data))
        self.arriving.sort(key=lambda item: item[0])


@dataclass
class End:
    engine: Engine
    wire: Wire
    counters: Counters
    forwarded: list[tuple[bytes, tuple[str, int] | None]]


def end(side: int, setup: TransportSetup | None = None, now_s: float = 0.0) -> End:
    wire, shared, forwarded = Wire(), page(), []
    engine = Engine(RATE_HZ, PERIOD_FRAMES, shared, lambda data, addr: forwarded.append((data, addr)))
    engine.connect(setup or transport(side), bytes(7) + bytes([side + 1]), wire, now_s)
    return End(engine, wire, shared, forwarded)


def is_rtp(data: bytes) -> bool:
    return 128 <= data[0] < 192 and not 192 <= data[1] <= 223


def far_session(side: int = 1) -> SrtpSession:
    return SrtpSession(keys(side), 1000 + side)


def speak(engine: Engine, wire: Wire, samples: Samples, start_s: float = 0.0) -> float:
    now_s = start_s
    for at in range(0, len(samples) - PERIOD_FRAMES + 1, PERIOD_FRAMES):
        now_s += PERIOD_S
        wire.now_s = now_s
        engine.tick(samples[at : at + PERIOD_FRAMES].tobytes(), now_s)
    return now_s


def perfect(_number: int, sent_s: float) -> list[float]:
    return [sent_s + LATENCY_S]


class Conversation:
    """Side 0 speaks, side 1 listens; packets of side 0 pass `network`. `heard` grows with each period."""

    def __init__(
        self, network: Network = perfect, opus: OpusSetup | None = None, codec: str = "opus", **rtp: int
    ) -> None:
        setup = transport(0, codec=codec)
        if opus is not None:
            setup = replace(setup, opus=opus)
        self.talker, self.listener = end(0, setup), end(1, transport(1, codec=codec, **rtp))
        self.network = network
        self.numbers = 0
        self.now_s = 0.0
        self.late_s: Callable[[int], float] = lambda _period: 0.0  # how late the listener is woken for each period
        self.heard: list[bytes] = []

    def run(self, microphone: Samples) -> Samples:
        """Speak all of it; returns what the listener has heard since the beginning of the call."""
        for at in range(0, len(microphone) - PERIOD_FRAMES + 1, PERIOD_FRAMES):
            self.now_s += PERIOD_S
            self.step(microphone[at : at + PERIOD_FRAMES].tobytes())
        return np.frombuffer(b"".join(self.heard), np.int16)

    def step(self, period: bytes) -> None:
        talker, listener = self.talker, self.listener
        talker.wire.now_s = self.now_s
        talker.engine.tick(period, self.now_s)
        for data in talker.wire.sent:
            arrivals = [self.now_s + LATENCY_S]
            if is_rtp(data):
                arrivals = self.network(self.numbers, self.now_s)
                self.numbers += 1
            for arrival_s in arrivals:
                listener.wire.deliver(data, arrival_s)
        talker.wire.sent.clear()
        later_s = self.now_s + OFFSET_S + self.late_s(len(self.heard))
        listener.wire.now_s = later_s
        self.heard.append(listener.engine.tick(bytes(2 * PERIOD_FRAMES), later_s))
        for data in listener.wire.sent:
            talker.wire.deliver(data, later_s + LATENCY_S)
        listener.wire.sent.clear()


def delay_frames(original: Samples, heard: Samples, start_s: float, length_s: float = 0.4) -> tuple[int, float]:
    """Where `original[start_s:]` turns up in `heard` (frames later), and how well it correlates there (0..1)."""
    start, length = int(start_s * RATE_HZ), int(length_s * RATE_HZ)
    piece = original[start : start + length].astype(float)
    window = heard[start : start + length + RATE_HZ // 2].astype(float)
    size = 1 << (len(window) + len(piece)).bit_length()
    dots = np.fft.irfft(np.fft.rfft(window, size) * np.conj(np.fft.rfft(piece, size)), size)[
        : len(window) - len(piece) + 1
    ]
    energy = np.concatenate(([0.0], np.cumsum(window**2)))
    norms = np.sqrt((energy[length:] - energy[:-length])[: len(dots)] * np.sum(piece**2)) + 1.0
    scores = dots / norms
    best = int(np.argmax(scores))
    return best, float(scores[best])
