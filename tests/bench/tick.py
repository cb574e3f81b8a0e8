"""What our own Python costs in one period of a call: `python -m tests.bench.tick [OTHER_TREE]`.

Engine, sender, jitter buffer, receiver, mixer and sound run on a clock that is told, in one process, with a codec, a
cipher, a socket and devices that do nothing: what is left is ours. Each call hears itself, 2 ms later. The least of
many short runs is what counts, since other work on the machine only ever adds. With another tree (a checkout of the
commit to compare with) the two take turns.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

ROUNDS, RUNS, TICKS = 6, 100, 500
PERIOD_FRAMES, PERIOD_S = 480, 0.01
LATENCY_S = 0.002
TURN_ROUND_S = 0.0003  # the device is ready so much before the socket is looked at
PAYLOAD = bytes([0x48]) + bytes(79)  # SILK, wide band, 20 ms (RFC 6716 3.1), as long as 32 kbit/s makes it
FRAMES = 960


class Echo:
    """The socket: what is sent comes back."""

    def __init__(self) -> None:
        self.now_s, self.refused, self.send_errors = 0.0, 0, 0
        self._coming: list[tuple[float, bytes]] = []

    def send(self, data: bytes) -> None:
        if data[1] < 192:  # no reports: one every five seconds is another matter
            self._coming.append((self.now_s + LATENCY_S, data))

    def receive(self) -> tuple[bytes, tuple[str, int], float] | None:
        if not self._coming or self._coming[0][0] > self.now_s:
            return None
        arrival_s, data = self._coming.pop(0)
        return data, ("192.0.2.1", 4000), self.now_s - arrival_s

    def add_source(self, address: tuple[str, int]) -> None: ...

    def close(self) -> None: ...


class Codec:
    """Both directions of one that does nothing."""

    def __init__(self) -> None:
        self.samples = memoryview(bytearray(2 * FRAMES))
        self.frame_bytes = 2 * FRAMES
        self.packet = memoryview(bytearray(12) + bytearray(PAYLOAD) + bytearray(100))

    def set_ptime(self, ptime_ms: int) -> None: ...

    def encode(self) -> int:
        return len(PAYLOAD)

    def decode(self, packet: bytes) -> int:
        return FRAMES

    conceal = decode

    def close(self) -> None: ...


def as_it_is(data: bytes) -> bytes:
    return data


def run() -> None:
    """Print the least microseconds per period of `RUNS` runs."""
    from agent.media import srtp  # noqa: PLC0415 - of the tree in question

    try:
        from agent.media.codecs import agreed as codecs  # noqa: PLC0415
    except ImportError:  # an older one
        from agent.media import codecs  # noqa: PLC0415
    vars(codecs)["make_encoder"] = vars(codecs)["make_decoder"] = lambda *_, **__: Codec()
    vars(srtp)["SrtpSession"] = lambda *_: SimpleNamespace(
        protect=as_it_is, protect_rtcp=as_it_is, unprotect=as_it_is, unprotect_rtcp=as_it_is
    )
    from agent.media import counters, engine, mixer, sound  # noqa: PLC0415 - these take the above from there
    from agent.media.messages import AudioSetup, RtpSetup, SrtpKeys, TransportSetup  # noqa: PLC0415

    fd = counters.create()
    page = counters.Counters(fd)
    os.close(fd)
    mic, echo = bytes(2 * PERIOD_FRAMES), Echo()
    call = engine.Engine(48000, PERIOD_FRAMES, page, lambda *_: None)
    rtp = RtpSetup(ssrc=1, payload_type=111, remote_payload_type=111, cname="tick")
    key = bytes(44)
    call.connect(TransportSetup(None, SrtpKeys("SRTP_AEAD_AES_256_GCM", key, key), rtp), b"12345678", echo, 0.0)
    device = SimpleNamespace(
        read=lambda: mic, write=lambda _: None, queued_frames=lambda: PERIOD_FRAMES, waiting_frames=lambda: 0,
        xruns=0, dropped_frames=0, close=lambda: None,
    )  # fmt: skip
    now_s = 0.0
    devices = sound.Sound(
        AudioSetup("mic", "speaker"), opened=lambda: None, failed=lambda *_: None,
        open_capture=lambda *_: device, open_playback=lambda *_: device, monotonic=lambda: now_s,
    )  # fmt: skip
    devices.open()
    read, tick, mix, write = devices.read, call.tick, mixer.SpeakerMixer(48000).mix, devices.write
    gc.collect()
    gc.disable()
    least_s = float("inf")
    for _ in range(RUNS):
        began_s = time.perf_counter()
        for _ in range(TICKS):
            now_s += PERIOD_S
            echo.now_s = now_s + TURN_ROUND_S
            write(mix(tick(read(), now_s + TURN_ROUND_S), mic))
        least_s = min(least_s, time.perf_counter() - began_s)
    stats = call.stats(now_s)
    if stats.concealed_frames or stats.packets_received < RUNS * TICKS // 2 - 10:
        raise SystemExit(f"this was no undisturbed call: {stats}")
    print(1e6 * least_s / TICKS)


def main() -> None:
    trees = [Path(__file__).parents[2], *map(Path, sys.argv[1:])]
    figures: dict[Path, list[float]] = {tree: [] for tree in trees}
    for _ in range(ROUNDS):
        for tree in trees:
            command = [sys.executable, "-P", __file__, "--run"]
            environment = {**os.environ, "PYTHONPATH": str(tree)}
            printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            figures[tree].append(float(printed.stdout))
    for tree, each in figures.items():
        print(f"{min(each):6.2f} us per period, {tree}; of {ROUNDS}: {', '.join(f'{one:.2f}' for one in each)}")


if __name__ == "__main__":
    run() if sys.argv[1:] == ["--run"] else main()
