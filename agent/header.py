"""The board, opened before everything else of the daemon: a press while that is still being loaded is not lost.

Opening the board takes a tenth of a second, the rest of a start several on a small machine. What is told meanwhile is
kept until the switchboard is there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.switchboard.lamps import LOOKS, DeviceState
from hardware.board import open_board
from hardware.buttons import ButtonEvent, ButtonSpec
from hardware.inputs import InputSpec
from hardware.lamps import LampSpec
from hardware.relays import RelaySpec
from hardware.sounders import SounderSpec

if TYPE_CHECKING:
    from agent.settings.model import Config

logger = logging.getLogger(__name__)

KEPT_PRESS_S = 10.0  # whoever pressed longer ago has left, or has pressed again
MAX_KEPT = 1000  # more comes only from a wire that picks up noise; the newest count
_ACTS = {ButtonEvent.PRESSED, ButtonEvent.HELD, ButtonEvent.DOUBLE, ButtonEvent.TALK_START}

OnButton = Callable[[str, ButtonEvent], None]
OnInput = Callable[[str, bool], None]
OnRelay = Callable[[str, bool], None]


class Header:
    """What hangs on the header, open. `board` works at once; what it tells goes to `connect`'s, kept until then."""

    def __init__(self, config: Config) -> None:
        """Raises `BoardError`."""
        self._lock = threading.Lock()  # the board tells from its own thread
        self._kept: deque[tuple[float, str, ButtonEvent | bool]] = deque(maxlen=MAX_KEPT)
        self._takers: tuple[OnButton, OnInput] | None = None
        self._on_relay: OnRelay | None = None
        self.board = open_board(
            config.board.kind,
            button_specs(config),
            lamp_specs(config),
            self._tell,
            inputs=input_specs(config),
            on_input=self._tell,
            relays=relay_specs(config),
            sounders=sounder_specs(config),
            on_relay=self._relay_changed,
        )
        for name, lamp in config.lamps.items():
            if lamp.role == "status":
                self.board.set_lamp(name, *LOOKS[DeviceState.STARTING])

    def connect(self, on_button: OnButton, on_input: OnInput, on_relay: OnRelay) -> None:
        """Tell those from now on, in threads of the board, and first what was kept: every state of an input,
        and presses that are at most `KEPT_PRESS_S` old."""
        self._on_relay = on_relay
        with self._lock:
            self._takers = on_button, on_input
            now_s = time.monotonic()
            for at_s, name, event in self._kept:
                if event in _ACTS and now_s - at_s > KEPT_PRESS_S:
                    logger.warning(
                        "button %s: %s %.0f s before the device was ready, too long ago to act on it",
                        name,
                        event,
                        now_s - at_s,
                    )
                else:
                    self._pass_on(name, event)
            self._kept.clear()

    def _tell(self, name: str, event: ButtonEvent | bool) -> None:
        with self._lock:
            if self._takers is None:
                self._kept.append((time.monotonic(), name, event))
            else:
                self._pass_on(name, event)

    def _relay_changed(self, name: str, on: bool) -> None:
        if self._on_relay is not None:  # who could use one is connected before
            self._on_relay(name, on)

    def _pass_on(self, name: str, event: ButtonEvent | bool) -> None:
        if self._takers is not None:
            on_button, on_input = self._takers
            if isinstance(event, ButtonEvent):
                on_button(name, event)
            else:
                on_input(name, event)


def button_specs(config: Config) -> dict[str, ButtonSpec]:
    """The config's buttons as the board wants them."""
    return {
        name: ButtonSpec(
            gpio=button.gpio,
            pull=button.pull,
            hold_s=button.hold_s,
            stable_ms=button.stable_ms,
            double_s=button.double_s if button.double is not None else None,
            on_release=button.press_on == "release",
            talk=button.talk,
            stuck_s=button.stuck_s,
        )
        for name, button in config.buttons.items()
    }


def input_specs(config: Config) -> dict[str, InputSpec]:
    """The config's inputs as the board wants them."""
    return {
        name: InputSpec(gpio=each.gpio, active=each.active_level, pull=each.pull, stable_ms=each.stable_ms)
        for name, each in config.inputs.items()
    }


def lamp_specs(config: Config) -> dict[str, LampSpec]:
    """The config's lamps as the board wants them."""
    return {
        name: LampSpec(lamp.gpio, lamp.active_low, lamp.kind, tuple(lamp.gpios), lamp.brightness)
        for name, lamp in config.lamps.items()
    }


def relay_specs(config: Config) -> dict[str, RelaySpec]:
    """The config's relays as the board wants them."""
    return {
        name: RelaySpec(each.gpio, each.active_low, each.pulse_s, each.max_pulse_s, each.lock_out_s)
        for name, each in config.relays.items()
    }


def sounder_specs(config: Config) -> dict[str, SounderSpec]:
    """The config's sounders as the board wants them."""
    return {
        name: SounderSpec(each.gpio, each.active_low, each.max_s, each.lock_out_s)
        for name, each in config.sounders.items()
    }
