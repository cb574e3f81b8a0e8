"""What the device shows and sounds of its state: one table from states to patterns and colours, and who fills it in.

Whoever stands at the door sees no log: each state that asks something of a person has a pattern of its own, which can
be told without its colour, and a lamp is never dark while the microphone is open.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.calls.state import CallState, Direction
from agent.gateway.events import LineState
from hardware.colours import Colour
from hardware.lamps import LampPattern
from hardware.sounders import Cadence

if TYPE_CHECKING:
    from agent.calls.call import Call
    from agent.settings.outputs import LampConfig, SounderConfig
    from hardware.board import Board


class DeviceState(enum.StrEnum):
    """What a person at the door must be able to tell apart."""

    STARTING = "starting"
    IDLE = "idle"
    NO_NETWORK = "no_network"
    NO_LINE = "no_line"
    NO_AUDIO = "no_audio"
    ERROR = "error"
    DIALLING = "dialling"
    RINGING_IN = "ringing_in"
    TALKING = "talking"  # also: the microphone is open without a call, as in a self-test
    MUTED = "muted"
    PRIVACY = "privacy"
    HELD = "held"


LOOKS: Mapping[DeviceState, tuple[LampPattern, Colour]] = {
    DeviceState.STARTING: (LampPattern.WINKS, Colour.WHITE),
    DeviceState.IDLE: (LampPattern.OFF, Colour.WHITE),
    DeviceState.NO_NETWORK: (LampPattern.ONE_FLASH, Colour.RED),
    DeviceState.NO_LINE: (LampPattern.TWO_FLASHES, Colour.RED),
    DeviceState.NO_AUDIO: (LampPattern.THREE_FLASHES, Colour.RED),
    DeviceState.ERROR: (LampPattern.FOUR_FLASHES, Colour.RED),
    DeviceState.DIALLING: (LampPattern.SLOW_BLINK, Colour.YELLOW),
    DeviceState.RINGING_IN: (LampPattern.FAST_BLINK, Colour.BLUE),
    DeviceState.TALKING: (LampPattern.ON, Colour.GREEN),
    DeviceState.MUTED: (LampPattern.ONE_GAP, Colour.MAGENTA),
    DeviceState.PRIVACY: (LampPattern.TWO_GAPS, Colour.MAGENTA),
    DeviceState.HELD: (LampPattern.LONG_SHORT, Colour.CYAN),
}
MICROPHONE_OPEN = (LampPattern.ON, Colour.RED)
DARK = (LampPattern.OFF, Colour.WHITE)


@dataclass(frozen=True)
class Situation:
    """Everything that the state for a person depends on. `call` is the present one; one that has ended is none."""

    call: Call | None = None
    plan: bool = False  # one goes on, also between two of its calls
    starting: bool = False
    no_network: bool = False
    line_down: bool = False
    audio_lost: bool = False
    button_stuck: bool = False
    privacy: bool = False
    muted: bool = False
    microphone_open: bool = False


def device_state(now: Situation) -> DeviceState:
    """The one state that matters most. Pure."""
    if now.call is not None and not now.call.ended:
        return _in_call(now, now.call)
    if now.microphone_open:
        return DeviceState.TALKING
    ranked = (
        (now.plan, DeviceState.DIALLING),  # somebody stands there, and will be put through
        (now.starting, DeviceState.STARTING),
        (now.line_down and now.no_network, DeviceState.NO_NETWORK),  # a gateway on this very machine needs none
        (now.line_down, DeviceState.NO_LINE),
        (now.audio_lost, DeviceState.NO_AUDIO),
        (now.button_stuck, DeviceState.ERROR),
        (now.privacy, DeviceState.PRIVACY),
    )
    return next((state for holds, state in ranked if holds), DeviceState.IDLE)


def _in_call(now: Situation, call: Call) -> DeviceState:
    if call.direction is Direction.INBOUND and not call.answered:
        return DeviceState.RINGING_IN
    if now.audio_lost:
        return DeviceState.NO_AUDIO
    if not call.answered:
        return DeviceState.DIALLING
    if call.state is CallState.HELD:
        return DeviceState.HELD
    if now.privacy:
        return DeviceState.PRIVACY
    return DeviceState.MUTED if now.muted else DeviceState.TALKING


class LineWatch:
    """Whether the lines that a person at the door needs are there, from what each of them says."""

    def __init__(self, needed: Collection[str]) -> None:
        self._needed = needed
        self._settled: set[str] = set()  # has been ready, or has failed, since the start

    def take(self, states: Mapping[str, LineState], told: Collection[str]) -> tuple[bool, bool]:
        """(still starting, one is down), by the present states of all lines; `told` are those that have changed."""
        for line, state in states.items():
            failed = state in {LineState.OFFLINE, LineState.REJECTED, LineState.EXHAUSTED} and line in told
            if failed or state is LineState.READY:
                self._settled.add(line)
        starting = any(line not in self._settled for line in self._needed)
        return starting, any(states.get(line) is not LineState.READY for line in self._needed)


class Signals:
    """Lamps and sounders of a board, each with what the config wants it to show or say."""

    def __init__(self, lamps: Mapping[str, LampConfig], sounders: Mapping[str, SounderConfig]) -> None:
        self._lamps, self._sounders = lamps, sounders
        self._ringing = False

    def show(self, board: Board, situation: Situation) -> None:
        """All of them, as they are to be from now on."""
        state = device_state(situation)
        for name, lamp in self._lamps.items():
            look = LOOKS[state]
            if lamp.role == "microphone":
                look = MICROPHONE_OPEN if situation.microphone_open else DARK
            board.set_lamp(name, *look)
        ringing = state is DeviceState.RINGING_IN
        if ringing != self._ringing:
            self._ringing = ringing
            self._sound(board, "ring", Cadence.RING if ringing else None)

    def call_failed(self, board: Board) -> None:
        """A call from here came to nothing."""
        if not self._ringing:
            self._sound(board, "error", Cadence.ERROR)

    def _sound(self, board: Board, occasion: str, cadence: Cadence | None) -> None:
        for name, sounder in self._sounders.items():
            if occasion in sounder.sounds:
                board.sound(name, cadence)
