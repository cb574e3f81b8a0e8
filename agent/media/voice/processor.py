"""The microphone's way through echo canceller, noise suppression and gain control; only calls that want one have it.

```
 mic period ─▶ blocks of 10 ms ─▶ stage (`echo`) ─▶ half duplex, as the last resort ─▶ gain ─▶ period
                   │                ▲
                   │            reference ◀─ what Sound.write played, in the microphone's time
                   ├─▶ delay check (`echo_delay`): the reference is moved until the echo lies just behind it;
                   │   where none comes back at all, the canceller gets silence for a reference, and harms nobody
                   └─▶ ERLE (`erle`): measured while the far end speaks alone (`far_end_alone`)
```
Everything runs while muted as well, so that the canceller stays what it has become.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agent.media.voice.blocks import BLOCKS_A_SECOND, Block, power
from agent.media.voice.echo import Cascade, make_stage
from agent.media.voice.echo_delay import EchoDelay
from agent.media.voice.erle import ErleMeter
from agent.media.voice.far_end_alone import FarEndAlone
from agent.media.voice.gain_stage import make_gain
from agent.media.voice.half_duplex import HalfDuplex
from agent.media.voice.reference import Reference

if TYPE_CHECKING:
    from agent.media.messages import AudioSetup

GOOD_DELAY_S = (0.0005, 0.03)  # of the echo behind the reference: the linear stage's tail has room for the rest
AIM_DELAY_S = 0.005  # where it is moved to otherwise
LINEAR_TIME_BLOCKS = 5 * BLOCKS_A_SECOND  # of far-end speech: the linear stage has long converged by then, or never
LEAST_LINEAR_ERLE_DB = 3.0  # with less, AEC3 is better off without it; with more, near talkers are better off with it
MOST_DRIFT_PPM = 250.0  # measured: up to 200 ppm near talkers are better off with the linear stage, at 300 nobody is
HOPELESS_BLOCKS = 10 * BLOCKS_A_SECOND  # of the far end alone: every canceller has had its chance
HOPELESS_ERLE_DB = 8.0  # a far end that hears itself 8 dB lower cannot talk


class VoiceFigures(NamedTuple):
    """`erle_db` is measured, None while it cannot be; `echo_delay_ms` is from the write to the echo's return."""

    erle_db: float | None
    echo_delay_ms: float | None
    echo_stage: str


class VoiceProcessor:
    """One call's voice path: `process` a period of the microphone, `played` what then went to the speaker.

    `lacks(text)` is told which library the board lacks and the cure, `note(text)` when another stage has to take over
    in the call. A period that is no multiple of 10 ms is delayed by what is missing to one. Raises ValueError for a
    stage that there is not.
    """

    def __init__(self, setup: AudioSetup, *, note: Callable[[str], None], lacks: Callable[[str], None]) -> None:
        self._rate_hz = setup.rate_hz
        self._frames = setup.rate_hz // BLOCKS_A_SECOND
        self._note = note
        self._stage = make_stage(
            setup.echo_canceller,
            setup.rate_hz,
            one_clock=setup.one_clock,
            noise_suppression=setup.noise_suppression,
            note=lacks,
        )
        self._gain = make_gain(setup.rate_hz, lacks) if setup.gain_control else None
        self._reference = Reference(setup.rate_hz)
        self._who = FarEndAlone()
        self._erle = ErleMeter()
        self._cancels = setup.echo_canceller != "off"
        self._delay = EchoDelay(setup.rate_hz) if self._cancels else None
        self._delay_s: float | None = None
        self._heard = False  # an echo, once in the call
        self._silence: Block | None = None  # in place of the reference, while the microphone does not hear it
        self._half_duplex = HalfDuplex(self._frames, self._who) if self._stage.name == "half_duplex" else None
        self._placed_anew = self._linear_blocks = 0
        self._suspected = False  # the linear stage, once already
        self._was_alone, self._mic_power = False, 0.0
        self._whole_blocks = setup.period_frames % self._frames == 0
        late = self._frames - np.gcd(self._frames, setup.period_frames)
        self._waiting, self._done = b"", bytes(2 * int(late))

    def process(self, mic: bytes) -> bytes:
        """One period of int16 mono in, one out. b"" (no microphone) stays b""."""
        samples = np.frombuffer(mic, np.int16)
        self._reference.captured(samples.size)
        if self._whole_blocks:
            if samples.size == self._frames:
                return self._block(samples).tobytes()
            return b"".join(self._block(block).tobytes() for block in samples.reshape(-1, self._frames))
        self._waiting += mic
        size = 2 * self._frames
        while len(self._waiting) >= size:
            block, self._waiting = self._waiting[:size], self._waiting[size:]
            self._done += self._block(np.frombuffer(block, np.int16)).tobytes()
        period, self._done = self._done[: len(mic)], self._done[len(mic) :]
        return period

    def played(self, samples: bytes, queued_frames: int, *, interrupted: bool = False) -> None:
        """What has just been written to the speaker, behind `queued_frames` that were there before; `interrupted`
        when sound was lost, or silence put in, since the last time."""
        self._reference.played(samples, queued_frames, interrupted=interrupted)

    def figures(self) -> VoiceFigures:
        erle_db, delay_s = self._erle.erle_db, self._delay_s
        return VoiceFigures(
            None if erle_db is None else round(erle_db, 1),
            None if delay_s is None else round(1000 * delay_s, 1),
            "half_duplex" if self._half_duplex else self._stage.name,
        )

    def close(self) -> None:
        self._stage.close()
        if self._gain is not None:
            self._gain.close()

    def _block(self, mic: Block) -> Block:
        if not self._cancels:
            out = self._stage.process(mic, mic)
            return out if self._gain is None else self._gain.process(out)
        played = self._reference.take(self._frames)
        far = played if self._silence is None else self._silence
        self._who.add(mic, far)
        out = self._stage.process(mic, far)
        self._measure(mic, out)
        if self._half_duplex is not None:
            out = self._half_duplex.process(out)
        self._check(mic, played)
        return out if self._gain is None else self._gain.process(out)

    def _measure(self, mic: Block, out: Block) -> None:
        """The output is that of about a block ago: it is compared with the microphone's power then."""
        alone = self._who.alone
        if alone and self._was_alone:
            self._erle.add(self._mic_power, power(out))
        self._was_alone = alone
        if alone:
            self._mic_power = power(mic)

    def _check(self, mic: Block, played: Block) -> None:
        """What the figures so far mean for the parts."""
        reference = self._reference
        if reference.placed_anew != self._placed_anew:
            self._placed_anew = reference.placed_anew
            self._delay = EchoDelay(self._rate_hz)
        if self._delay is not None:
            delay_s = self._delay.add(mic, played)
            self._believe(self._delay.heard)
            if delay_s is not None:
                self._delay = None
                self._align(delay_s)
        if not self._who.far:
            return
        if isinstance(self._stage, Cascade):
            self._watch_linear(self._stage)
        if self._half_duplex is None and self._erle.blocks >= HOPELESS_BLOCKS:
            erle_db = self._erle.erle_db
            if erle_db is not None and erle_db < HOPELESS_ERLE_DB:
                self._half_duplex = HalfDuplex(self._frames, self._who)
                said_db = max(erle_db, 0.0)
                self._note(
                    f"the echo cannot be cancelled here ({said_db:.0f} dB): one side at a time speaks from here on"
                )

    def _believe(self, heard: bool | None) -> None:
        """Whether there is an echo here. Until that is known there is one, and one that was heard stays for the call:
        a look that begins anew may begin under a loud near talker."""
        self._heard = self._heard or heard is True
        if heard is False and not self._heard and self._silence is None:
            self._silence = np.zeros(self._frames, np.int16)
            self._erle = ErleMeter()
        elif heard and self._silence is not None:
            self._silence = None
            self._restart()

    def _align(self, delay_s: float) -> None:
        """The echo was found so much behind the reference."""
        reference = self._reference
        self._delay_s = delay_s + (reference.queued_frames - reference.ahead_frames) / self._rate_hz
        if GOOD_DELAY_S[0] <= delay_s <= GOOD_DELAY_S[1]:
            return
        reference.shift_frames += round((delay_s - AIM_DELAY_S) * self._rate_hz)
        self._restart()

    def _restart(self) -> None:
        self._stage.restart()
        self._erle = ErleMeter()
        self._linear_blocks = 0

    def _watch_linear(self, cascade: Cascade) -> None:
        erle_db = cascade.linear_erle_db
        if erle_db is None:
            return
        drift_ppm = self._reference.drift_ppm
        if drift_ppm is not None and abs(drift_ppm) > MOST_DRIFT_PPM:
            self._bypass(cascade, f"the clocks of microphone and speaker are {abs(drift_ppm):.0f} ppm apart")
            return
        self._linear_blocks += 1
        if self._linear_blocks < LINEAR_TIME_BLOCKS or erle_db >= LEAST_LINEAR_ERLE_DB:
            return
        if self._suspected:
            self._bypass(cascade, f"it takes {max(erle_db, 0.0):.0f} dB away")
        else:  # the reference may have been misplaced since the first look
            self._suspected, self._linear_blocks = True, 0
            self._delay = EchoDelay(self._rate_hz)

    def _bypass(self, cascade: Cascade, why: str) -> None:
        cascade.bypass()
        if self._delay_s is None:  # then the speaker's queue may be wrong about itself
            self._reference.give_early()
        self._note(f"the linear echo canceller cannot follow, AEC3 goes on alone: {why}")
