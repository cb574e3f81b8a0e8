"""What the receive path makes of a bad network: `python -m tests.media.impaired [ROW...]`.

Speech from espeak-ng passes the whole audio path on a virtual clock, from microphone to speaker, and a network with a
fault between; printed are wide-band PESQ and STOI against the speech that went in, and the delay between network and
speaker. Seconds of call take tenths of a second, so numbers can be tuned by it.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from pesq import pesq
from pystoi import stoi
from scipy.signal import resample_poly

from agent.media.messages import OpusSetup
from tests.media.call_model import (
    LATENCY_S,
    PERIOD_S,
    RATE_HZ,
    Conversation,
    Network,
    Samples,
)

ESPEAK_HZ = 22050
JUDGED_HZ = 16000
VOICES = ("en-us", "en-us+f3")
TEXT = (
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. "
    "It is easy to tell the depth of a well. These days a chicken leg is a rare dish. "
    "Rice is often served in round bowls. The juice of lemons makes fine punch."
)
LEAD_S = 2.0  # of the talk, for the buffer to know the network, before it is judged: as in a call
FEC_PERCENT = 10  # below it libopus puts no FEC into 32 kbit/s


def say(voice: str, text: str = TEXT) -> Samples:
    """int16 at 48 kHz."""
    wav = subprocess.run(["espeak-ng", "-v", voice, "--stdout", text], capture_output=True, check=True).stdout
    start = wav.index(b"data") + 8
    sound = np.frombuffer(wav[start : start + (len(wav) - start) // 2 * 2], np.int16).astype(float)
    return (0.5 * resample_poly(sound, 2 * RATE_HZ // 300, 2 * ESPEAK_HZ // 300)).astype(np.int16)


def lossy(share: float) -> Callable[[random.Random], Network]:
    return lambda chance: lambda _, sent_s: [] if chance.random() < share else [sent_s + LATENCY_S]


def bursty(chance: random.Random) -> Network:
    """Three in a row, every second on average."""
    until = [-1]

    def network(number: int, sent_s: float) -> list[float]:
        if number > until[0] and chance.random() < 0.02:
            until[0] = number + 2
        return [] if number <= until[0] else [sent_s + LATENCY_S]

    return network


def jittery(most_s: float) -> Callable[[random.Random], Network]:
    """Any delay up to `most_s`, in order, as in a queue."""

    def make(chance: random.Random) -> Network:
        last = [0.0]

        def network(_: int, sent_s: float) -> list[float]:
            last[0] = max(last[0], sent_s + LATENCY_S + chance.random() * most_s)
            return [last[0]]

        return network

    return make


def reordering(chance: random.Random) -> Network:
    return lambda _, sent_s: [sent_s + LATENCY_S + chance.random() * 0.06]


def lossy_and_jittery(chance: random.Random) -> Network:
    delays = jittery(0.06)(chance)
    return lambda number, sent_s: [] if chance.random() < 0.05 else delays(number, sent_s)


def stalling(_: random.Random) -> Network:
    return lambda _, sent_s: [max(sent_s + LATENCY_S, 6.3) if sent_s > 6.0 else sent_s + LATENCY_S]


def drifting(ppm: float) -> Callable[[random.Random], Network]:
    """The far end's clock runs faster by `ppm`: what it sends comes earlier and earlier."""
    return lambda _: lambda _, sent_s: [0.05 + sent_s * (1 - ppm * 1e-6)]


ROWS: dict[str, Callable[[random.Random], Network]] = {
    "0 %": lossy(0.0),
    "1 %": lossy(0.01),
    "3 %": lossy(0.03),
    "5 %": lossy(0.05),
    "10 %": lossy(0.10),
    "3-bursts": bursty,
    "jitter 0-60 ms": jittery(0.06),
    "reordered 0-60 ms": reordering,
    "5 %, jitter 0-60 ms": lossy_and_jittery,
    "stall 300 ms": stalling,
    "+200 ppm": drifting(200.0),
    "-200 ppm": drifting(-200.0),
}


@dataclass
class Heard:
    """Of one row: a figure for each voice and seed."""

    pesq: list[float] = field(default_factory=list)
    stoi: list[float] = field(default_factory=list)
    delay_ms: list[float] = field(default_factory=list)  # network to speaker, of each packet
    concealed: int = 0
    rebuilt: int = 0
    dropped: int = 0
    stretched_ms: float = 0.0


def measure(row: str, voices: dict[str, Samples], seeds: range) -> Heard:
    """Every voice with every seed through one network."""
    heard = Heard()
    for seed in seeds:
        for speech in voices.values():
            talk = np.concatenate((speech[: int(LEAD_S * RATE_HZ)], speech))
            call = Conversation(
                ROWS[row](random.Random(f"{row} {seed}")), OpusSetup(packet_loss_percent=FEC_PERCENT, ptime_ms=20)
            )
            call.talker.wire.deliver = lambda *_: None  # type: ignore[method-assign]  # its encoder stays as it is
            heard.delay_ms += delays_ms(call, talk)
            sound = np.frombuffer(b"".join(call.heard), np.int16)
            wanted, got = (resample_poly(x[int(LEAD_S * RATE_HZ) :].astype(float), 1, 3) for x in (talk, sound))
            length = min(len(wanted), len(got))
            heard.pesq.append(pesq(JUDGED_HZ, wanted[:length], got[:length], "wb"))
            heard.stoi.append(aligned_stoi(wanted[:length], got[:length]))
            stats = call.listener.engine.stats(call.now_s)
            heard.concealed += stats.concealed_frames
            heard.rebuilt += stats.fec_frames
            heard.dropped += stats.packets_dropped + stats.packets_late
            heard.stretched_ms += (getattr(stats, "inserted_frames", 0) + getattr(stats, "removed_frames", 0)) / 48
    return heard


def delays_ms(call: Conversation, talk: Samples) -> list[float]:
    """Run the call; how long after its first packet could have come each packet is played, behind the lead."""
    receiver = call.listener.engine._receiver
    assert receiver is not None
    found: list[float] = []
    jitter, pull = receiver.jitter, receiver.jitter.pull
    first: list[int] = []

    def noting(now_s: float, queued_frames: int = 0) -> tuple[object, bytes, int]:
        pulled = pull(now_s, queued_frames) if queued_frames else pull(now_s)
        if pulled[0].name == "PACKET":
            at = jitter._next_timestamp - 960
            if not first:
                first.append(at)
            ideal_s = (at - first[0] & 0xFFFFFFFF) / RATE_HZ
            if ideal_s > LEAD_S:
                found.append(1000 * (now_s + queued_frames / RATE_HZ - ideal_s))
        return pulled

    jitter.pull = noting  # type: ignore[assignment]
    call.run(talk)
    return [each - 1000 * (LATENCY_S + 2 * PERIOD_S) for each in found]


def aligned_stoi(wanted: np.ndarray, got: np.ndarray) -> float:
    """STOI aligns nothing by itself: the shift of all is taken out first, that of changes in the call is not."""
    size = 1 << (2 * len(wanted)).bit_length()
    dots = np.fft.irfft(np.fft.rfft(got, size) * np.conj(np.fft.rfft(wanted, size)), size)
    shift = int(np.argmax(dots[: JUDGED_HZ // 2]))
    return float(stoi(wanted[: len(wanted) - shift], got[shift:], JUDGED_HZ))


def table(rows: list[str], seeds: range) -> Iterator[str]:
    voices = {voice: say(voice) for voice in VOICES}
    yield "| network | PESQ-WB | STOI | delay mean | p99 ms | concealed | rebuilt | dropped | stretched ms |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for row in rows:
        heard = measure(row, voices, seeds)
        delays = np.array(heard.delay_ms)
        yield (
            f"| {row} | {np.mean(heard.pesq):.2f} | {np.mean(heard.stoi):.3f} | {delays.mean():.1f} |"
            f" {np.percentile(delays, 99):.1f} | {heard.concealed} | {heard.rebuilt} | {heard.dropped} |"
            f" {heard.stretched_ms:.0f} |"
        )


def main() -> None:
    rows = sys.argv[1:] or list(ROWS)
    for line in table(rows, range(2)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
