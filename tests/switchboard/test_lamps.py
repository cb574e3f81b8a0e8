"""Which state of the device a person is shown: each is told apart, and no open microphone is ever hidden."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from agent.calls.call import Call, Party
from agent.calls.reasons import EndReason
from agent.calls.state import CallState, Direction
from agent.gateway.events import LineState
from agent.settings.outputs import LampConfig, SounderConfig
from agent.switchboard.lamps import LOOKS, DeviceState, LineWatch, Signals, Situation, device_state
from hardware.colours import Colour
from hardware.lamps import LampPattern
from hardware.sounders import Cadence

FLAGS = [
    "starting",
    "no_network",
    "line_down",
    "audio_lost",
    "button_stuck",
    "privacy",
    "muted",
    "microphone_open",
]


def call(state: CallState, direction: Direction = Direction.OUTBOUND, *, answered: bool = False) -> Call:
    made = Call("c", direction, "lab", Party(), created_s=0.0)
    if answered:
        made.advance(CallState.ACTIVE, 1.0)
    made.advance(state, 2.0)
    return made


IN_CALL = [
    (call(CallState.TRYING), DeviceState.DIALLING),
    (call(CallState.RINGING), DeviceState.DIALLING),
    (call(CallState.EARLY), DeviceState.DIALLING),
    (call(CallState.RINGING, Direction.INBOUND), DeviceState.RINGING_IN),
    (call(CallState.ANSWERING, Direction.INBOUND), DeviceState.RINGING_IN),
    (call(CallState.ACTIVE, answered=True), DeviceState.TALKING),
    (call(CallState.HELD, answered=True), DeviceState.HELD),
]


def test_every_state_has_a_look_of_its_own_without_its_colour() -> None:
    assert set(LOOKS) == set(DeviceState)
    assert len({pattern for pattern, _ in LOOKS.values()}) == len(DeviceState)


def test_faults_are_counted_flashes() -> None:
    faults = [DeviceState.NO_NETWORK, DeviceState.NO_LINE, DeviceState.NO_AUDIO, DeviceState.ERROR]
    assert [LOOKS[state][0] for state in faults] == [
        LampPattern.ONE_FLASH,
        LampPattern.TWO_FLASHES,
        LampPattern.THREE_FLASHES,
        LampPattern.FOUR_FLASHES,
    ]


@pytest.mark.parametrize(("present", "state"), IN_CALL)
def test_a_call_is_what_matters_most(present: Call, state: DeviceState) -> None:
    broken = Situation(present, starting=True, no_network=True, line_down=True, button_stuck=True)
    assert device_state(broken) is state


def test_in_a_conversation_it_matters_whether_one_is_heard() -> None:
    talking = Situation(call(CallState.ACTIVE, answered=True), microphone_open=True)
    assert device_state(replace(talking, muted=True)) is DeviceState.MUTED
    assert device_state(replace(talking, muted=True, privacy=True)) is DeviceState.PRIVACY
    assert device_state(replace(talking, audio_lost=True)) is DeviceState.NO_AUDIO
    held = replace(talking, call=call(CallState.HELD, answered=True), muted=True)
    assert device_state(held) is DeviceState.HELD


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (Situation(), DeviceState.IDLE),
        (Situation(starting=True, line_down=True, no_network=True), DeviceState.STARTING),
        (Situation(line_down=True, no_network=True), DeviceState.NO_NETWORK),
        (Situation(no_network=True), DeviceState.IDLE),  # the gateway is on this machine
        (Situation(line_down=True, audio_lost=True), DeviceState.NO_LINE),
        (Situation(audio_lost=True, button_stuck=True), DeviceState.NO_AUDIO),
        (Situation(button_stuck=True, privacy=True), DeviceState.ERROR),
        (Situation(privacy=True), DeviceState.PRIVACY),
        (Situation(line_down=True, microphone_open=True), DeviceState.TALKING),
    ],
)
def test_without_a_call_the_most_basic_fault_is_shown(now: Situation, state: DeviceState) -> None:
    assert device_state(now) is state


def test_an_ended_call_is_none() -> None:
    over = call(CallState.RINGING)
    over.end(EndReason.BUSY, 3.0)
    assert device_state(Situation(over)) is DeviceState.IDLE


def test_no_lamp_is_dark_while_the_microphone_is_open() -> None:
    for values in product([False, True], repeat=len(FLAGS)):
        flags: dict[str, Any] = dict(zip(FLAGS, values, strict=True))
        for present in (None, *(each for each, _ in IN_CALL)):
            now = Situation(present, **{**flags, "microphone_open": True})
            assert LOOKS[device_state(now)][0] is not LampPattern.OFF, now


def test_a_line_that_has_not_failed_yet_is_starting() -> None:
    watch = LineWatch({"a"})
    assert watch.take({"a": LineState.OFFLINE, "b": LineState.READY}, ()) == (True, True)
    assert watch.take({"a": LineState.LOGGING_IN}, ["a"]) == (True, True)
    assert watch.take({"a": LineState.READY}, ["a"]) == (False, False)
    assert watch.take({"a": LineState.CONNECTING}, ["a"]) == (False, True)


@pytest.mark.parametrize("state", [LineState.OFFLINE, LineState.REJECTED, LineState.EXHAUSTED])
def test_a_line_that_fails_at_once_is_down_and_not_starting_for_ever(state: LineState) -> None:
    assert LineWatch({"a"}).take({"a": state}, ["a"]) == (False, True)


def test_a_line_that_nobody_needs_does_not_matter() -> None:
    assert LineWatch({"a"}).take({"a": LineState.READY, "b": LineState.REJECTED}, ["a", "b"]) == (False, False)


class Board:
    """Records what it is told to show and to say."""

    def __init__(self) -> None:
        self.lamps: dict[str, tuple[LampPattern, Colour]] = {}
        self.sounds: list[tuple[str, Cadence | None]] = []

    def set_lamp(self, name: str, pattern: LampPattern, colour: Colour) -> None:
        self.lamps[name] = pattern, colour

    def sound(self, name: str, cadence: Cadence | None) -> None:
        self.sounds.append((name, cadence))


def test_a_microphone_lamp_is_lit_exactly_while_the_microphone_is_open() -> None:
    signals, board = Signals({"mic": LampConfig(gpio=5, role="microphone")}, {}), Board()
    for is_open in (False, True):
        for present in (None, *(each for each, _ in IN_CALL)):
            for muted in (False, True):
                signals.show(board, Situation(present, microphone_open=is_open, muted=muted))  # type: ignore[arg-type]
                assert board.lamps["mic"][0] is (LampPattern.ON if is_open else LampPattern.OFF)


def test_sounders_ring_once_told_and_beep_at_failures_where_the_config_says_so() -> None:
    sounders = {
        "bell": SounderConfig(gpio=5),
        "beeper": SounderConfig(gpio=6, sounds=["error"]),
    }
    signals, board = Signals({}, sounders), Board()
    ringing = Situation(call(CallState.RINGING, Direction.INBOUND))
    for now in (Situation(), ringing, ringing, Situation()):
        signals.show(board, now)  # type: ignore[arg-type]
    assert board.sounds == [("bell", Cadence.RING), ("bell", None)]
    signals.call_failed(board)  # type: ignore[arg-type]
    assert board.sounds[2:] == [("beeper", Cadence.ERROR)]
