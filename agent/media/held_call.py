"""What the control process keeps of the present call, so that a newly started media process can take it over."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.media import counters, telephone_event, tones, wire
from agent.media.codecs.opus import SAMPLE_RATES_HZ
from agent.media.messages import AudioSetup, TransportSetup
from agent.media.packets import MAX_SOURCES

if TYPE_CHECKING:
    from agent.media.prompt_files import Recording
    from agent.media.prompts import PromptTo


def check(setup: AudioSetup) -> None:
    """Raise ValueError when Opus cannot take the rate, or there is no such tone plan."""
    if setup.rate_hz not in SAMPLE_RATES_HZ:
        rates = ", ".join(map(str, SAMPLE_RATES_HZ))
        raise ValueError(f"audio.rate_hz: Opus cannot take {setup.rate_hz} Hz; use one of {rates}")
    if setup.tone_plan not in tones.PLANS:
        raise ValueError(f"audio: tone plan {setup.tone_plan!r} is not one of {', '.join(tones.PLANS)}")


def at_volume(setup: AudioSetup, percents: tuple[int, int]) -> AudioSetup:
    """The same with our own volumes (`agent.media.volume`) of the speaker and the microphone."""
    return replace(setup, speaker_percent=percents[0], microphone_percent=percents[1])


def events(call: HeldCall | None, digits: str) -> str:
    """`digits` as the call can send them as telephone events. Raises ValueError saying why it cannot."""
    digits = telephone_event.check(digits)
    transport = call.transport if call is not None else None
    if transport is None:
        raise ValueError("the call has no audio path yet")
    if transport.rtp.dtmf_payload_type is None:
        raise ValueError("the far end takes no telephone events (RFC 4733); send the digits by INFO")
    if transport.rtp.receive_only:
        raise ValueError("the call only receives, so no digits can leave as RTP; send them by INFO")
    return digits


@dataclass
class HeldPrompt:
    """A prompt that is to be heard. `recording` is its own; `began_s` is None until it has begun."""

    recording: Recording
    to: PromptTo
    loop: bool
    began_s: float | None = None

    def message(self) -> bytes | None:
        """What begins it, or takes it up where it would be by now; None when it is over."""
        now_s = time.monotonic()
        self.began_s = now_s if self.began_s is None else self.began_s
        start_frame = round((now_s - self.began_s) * self.recording.rate_hz)
        if start_frame >= self.recording.frames and not self.loop:
            return None
        return wire.pack("prompt", to=self.to, loop=self.loop, start_frame=start_frame % self.recording.frames)


@dataclass
class HeldCall:
    """The call as it is to be. `fd` is our own duplicate of its socket, -1 before there is one."""

    setup: AudioSetup
    muted: bool
    shut: bool = False  # the microphone's device stays closed
    deaf: bool = False
    tone: str | None = None  # that goes on until it is stopped
    prompt: HeldPrompt | None = None
    prompt_wishes: int = 0  # how often another prompt, or none, was asked for
    transport: TransportSetup | None = None
    fd: int = -1
    begun: bool = False  # whether a process has had it: its figures are in the shared counters then

    def open_message(self) -> bytes:
        resumed, self.begun = self.begun, True
        return wire.pack(
            "open",
            setup=vars(self.setup),
            muted=self.muted,
            shut=self.shut,
            deaf=self.deaf,
            tone=self.tone,
            resumed=resumed,
        )

    def connect_message(self) -> bytes:
        """Only with a transport."""
        transport = self.transport
        assert transport is not None  # noqa: S101 - the caller's promise
        # The counters must tell these keys from others without holding them.
        key_id = hashlib.sha256(transport.keys.tx + transport.keys.rx).hexdigest()[: 2 * counters.KEY_ID_BYTES]
        return wire.pack("connect", transport=wire.transport_fields(transport), key_id=key_id)

    def take_transport(self, transport: TransportSetup, fd: int) -> None:
        """`fd` is duplicated; the former one is closed."""
        duplicate = os.dup(fd)
        self.leave_transport()
        self.transport, self.fd = replace(transport, sources=transport.sources[-MAX_SOURCES:]), duplicate

    def add_source(self, address: tuple[str, int]) -> None:
        """Only with a transport."""
        assert self.transport is not None  # noqa: S101 - the caller's promise
        before = [source for source in self.transport.sources if source != address]
        self.transport = replace(self.transport, sources=(*before, address)[-MAX_SOURCES:])

    def take_tone(self, name: str | None) -> None:
        """Raises ValueError when there is no such tone."""
        if name is not None:
            tones.check(name)
        # A cue that is played once is over when the process is: only what repeats is taken up again.
        self.tone = name if name is not None and tones.repeats(name) else None

    @property
    def speaks(self) -> bool:
        """Whether anything is sent to the far end."""
        return bool(self.setup.capture) and not (self.transport and self.transport.rtp.receive_only)

    def take_prompt(self, prompt: HeldPrompt | None) -> None:
        """In place of the present one."""
        if self.prompt is not None:
            self.prompt.recording.close()
        self.prompt = prompt

    def prompt_message(self) -> bytes | None:
        """What begins the prompt or takes it up again; None when none is due. What the far end is to hear waits for
        the path to it."""
        if self.prompt is None or (self.prompt.to != "speaker" and self.transport is None):
            return None
        return self.prompt.message()

    def close(self) -> None:
        self.take_prompt(None)
        self.leave_transport()

    def leave_transport(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
