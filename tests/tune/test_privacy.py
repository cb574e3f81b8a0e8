"""While a privacy switch is on, or nobody can say whether it is, no microphone is measured."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from agent.tune import privacy
from agent.tune.privacy import PrivateError, kept_private, kept_private_beside
from hardware.inputs import InputSpec
from hardware.taken_pins import BoardError

OPEN, CLOSED = False, True


class Switches:
    """A board with these inputs, each at its level; it tells that when it is opened, as a real one does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **levels: bool) -> None:
        self.levels, self.closed = levels, False
        self.tell: Callable[[str, bool], None]
        monkeypatch.setattr(privacy, "open_board", self._open)

    def _open(self, *_: Any, inputs: dict[str, Any], on_input: Callable[[str, bool], None]) -> Any:
        assert set(inputs) == set(self.levels)
        self.tell = on_input
        for name, active in self.levels.items():
            on_input(name, active)
        return SimpleNamespace(close=self._close)

    def _close(self) -> None:
        self.closed = True


def measure(*names: str, microphone: Callable[[], None] = lambda: pytest.fail("the microphone would be open")) -> None:
    with kept_private("gpio", {name: InputSpec(5 + at) for at, name in enumerate(names)}):
        microphone()


def test_without_a_switch_no_pin_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "open_board", None)
    measured: list[bool] = []
    measure(microphone=lambda: measured.append(True))
    assert measured


def test_a_switch_that_is_on_is_named_and_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    switches = Switches(monkeypatch, hall=OPEN, shutter=CLOSED)
    with pytest.raises(PrivateError, match=r"\(input shutter\) is on.*switch it off"):
        measure("hall", "shutter")
    assert switches.closed


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["in front", "in the background"])
def ctrl_c(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a shell starts in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_a_switch_that_goes_on_meanwhile_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    switches = Switches(monkeypatch, shutter=OPEN)

    def switched_on() -> None:
        switches.tell("shutter", CLOSED)
        time.sleep(20)  # the interrupt comes first
        pytest.fail("the microphone would still be open")

    with pytest.raises(PrivateError, match="shutter"):
        measure("shutter", microphone=switched_on)
    assert switches.closed


def test_ctrl_c_stays_what_it_is_and_an_open_switch_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    switches = Switches(monkeypatch, shutter=OPEN)

    def ctrl_c() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure("shutter", microphone=ctrl_c)
    assert switches.closed


def test_a_switch_that_cannot_be_read_counts_as_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise BoardError("GPIO 5 is in use")

    monkeypatch.setattr(privacy, "open_board", refuse)
    with pytest.raises(PrivateError, match="cannot be read: GPIO 5 is in use"):
        measure("shutter")


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("answer", "words"), [(True, "switch is on.*switch it off"), (None, "daemon does not answer")])
def test_beside_a_daemon_its_word_counts_all_along(
    answer: bool | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy, "LOOK_S", 0.01)
    answers = [answer, False, False]

    def open_microphone() -> None:
        with kept_private_beside(answers.pop):
            time.sleep(20)  # the interrupt comes first
            pytest.fail("the microphone would still be open")

    with pytest.raises(PrivateError, match=words):
        open_microphone()
    assert not answers


def test_beside_a_daemon_that_says_no_the_measurement_ends_as_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "LOOK_S", 0.01)
    asked = threading.Event()

    def no() -> bool:
        asked.set()
        return False

    with kept_private_beside(no):
        assert asked.wait(20)
    with pytest.raises(KeyboardInterrupt), kept_private_beside(no):
        raise KeyboardInterrupt
