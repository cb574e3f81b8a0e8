"""Buttons and lamps on gpiozero pins: what the real and the virtual board have in common.

One thread a board does everything that has a deadline:

    pin edge (gpiozero's thread) ─▶ qualifier ─┐
    deadline or re-sample (board's thread) ────┴▶ pending ─▶ on_button (board's thread)

No press depends on the main loop or on this thread being quick: an edge carries the time at which it happened, is put
into its qualifier by the thread that brings it, and a qualifier needs no more than a few numbers however many edges
come. A busy program gets its presses late, but gets them. Where edges themselves are lost (a storm of interference,
a driver's fault), the pins are read every `RESAMPLE_S`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from hardware.buttons import Button, ButtonEvent, ButtonSpec
from hardware.lamps import Lamp, LampPattern, LampSpec

logger = logging.getLogger(__name__)

RESAMPLE_S = 0.25  # a lost edge is noticed while the finger is still on the button
HEADER_GPIOS = range(28)  # BCM numbers on the 40 pin header

OnButton = Callable[[str, ButtonEvent], None]
PinErrors = tuple[type[Exception], ...]  # what the pins of a factory raise


class BoardError(Exception):
    """Buttons or lamps cannot be used. `str()` names the cause and the cure."""


def check_pins(buttons: Mapping[str, ButtonSpec], lamps: Mapping[str, LampSpec]) -> None:
    """Raise `BoardError` for a pin that does not exist or is given to two."""
    taken: dict[int, str] = {}
    names = [(f"button {name!r}", spec.gpio) for name, spec in buttons.items()]
    names += [(f"lamp {name!r}", spec.gpio) for name, spec in lamps.items()]
    for name, gpio in names:
        if gpio not in HEADER_GPIOS:
            raise BoardError(f"{name}: there is no GPIO {gpio}; give a BCM number from 0 to {HEADER_GPIOS[-1]}")
        if gpio in taken:
            raise BoardError(f"{name} and {taken[gpio]} are both on GPIO {gpio}; give each a pin of its own")
        taken[gpio] = name


class PinBoard:
    """Runs `buttons` and `lamps` on the pins of a gpiozero factory (None: neither is there).

    `on_button` is called from the board's thread, one event at a time and in order. It must return soon and not
    raise; an asyncio program passes `lambda *event: loop.call_soon_threadsafe(take, *event)`. All methods may be
    called from any thread, also from inside `on_button`.
    """

    def __init__(
        self,
        factory: Any,
        buttons: Mapping[str, ButtonSpec],
        lamps: Mapping[str, LampSpec],
        on_button: OnButton,
        pin_errors: PinErrors,
    ) -> None:
        self.on_lamp: Callable[[str, bool], None] | None = None  # told of each change; must return at once
        self._on_button = on_button
        self._complained: set[str] = set()
        self._pin_errors = pin_errors
        self._changed = threading.Condition()  # guards everything below; its lock is re-entrant
        self._pending: deque[tuple[str, ButtonEvent]] = deque()
        self._buttons: dict[str, Button] = {}
        self._lamps: dict[str, Lamp] = {}
        self._sampled_s = time.monotonic()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        with self._changed:  # an edge may come as soon as a button watches its pin
            self._take_pins(factory, buttons, lamps)
        if factory is not None:
            self._thread.start()

    def _take_pins(self, factory: Any, buttons: Mapping[str, ButtonSpec], lamps: Mapping[str, LampSpec]) -> None:
        where = ""
        try:
            for name, lamp in lamps.items():
                where = f"lamp {name!r} on GPIO {lamp.gpio}"
                self._lamps[name] = Lamp(lamp, factory.pin(lamp.gpio))
            for name, button in buttons.items():
                where = f"button {name!r} on GPIO {button.gpio}"
                self._buttons[name] = Button(name, button, factory.pin(button.gpio), self._edge)
        except self._pin_errors as error:
            self._release_pins()
            raise BoardError(
                f"{where}: {error}; is the pin taken by another program or by an overlay in config.txt (gpioinfo)?"
            ) from None

    def set_lamp(self, name: str, pattern: LampPattern) -> None:
        """Show `pattern` from now on. Raises `KeyError` for a lamp that the board does not have."""
        with self._changed:
            lamp = self._lamps[name]
            lamp.pattern = pattern
            self._show(name, lamp, time.monotonic())
            self._changed.notify()

    def lamp_pattern(self, name: str) -> LampPattern:
        """What the lamp has been told to show."""
        return self._lamps[name].pattern

    def lamp_lit(self, name: str) -> bool:
        """Whether the lamp is lit now (a blinking lamp changes)."""
        return self._lamps[name].lit

    def is_pressed(self, name: str) -> bool:
        """Whether the button is down, as qualified."""
        return self._buttons[name].qualifier.pressed

    def close(self) -> None:
        """Lamps off, pins inputs. No `on_button` after it, except one under way in the board's thread."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        self._release_pins()

    def _release_pins(self) -> None:
        devices: list[Button | Lamp] = [*self._buttons.values(), *self._lamps.values()]
        for device in devices:
            try:
                device.close()
            except self._pin_errors as error:
                logger.warning("a pin could not be released: %s", error)

    def _edge(self, name: str, level_active: bool, now_s: float) -> None:
        with self._changed:
            self._pending.extend((name, event) for event in self._buttons[name].qualifier.edge(level_active, now_s))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                next_s = self._tick(time.monotonic())
                if not self._pending:
                    self._changed.wait(None if next_s is None else max(0.0, next_s - time.monotonic()))
                batch = list(self._pending)
                self._pending.clear()
            for name, event in batch:
                self._deliver(name, event)

    def _deliver(self, name: str, event: ButtonEvent) -> None:
        if self._closed:
            return
        try:
            self._on_button(name, event)
        except RuntimeError as error:  # what asyncio raises when its loop has been closed
            logger.warning("button %s: %s was not taken: %s", name, event, error)

    def _tick(self, now_s: float) -> float | None:
        """Do what is due; returns the time of the next call. Runs with the lock held."""
        resample = bool(self._buttons) and now_s >= self._sampled_s + RESAMPLE_S
        if resample:
            self._sampled_s = now_s
        for name, button in self._buttons.items():
            due_s = button.qualifier.next_deadline_s
            if resample or (due_s is not None and due_s <= now_s):
                events = button.qualifier.poll(self._sample(name, button), now_s)
                self._pending.extend((name, event) for event in events)
        for name, lamp in self._lamps.items():
            self._show(name, lamp, now_s)
        times = [button.qualifier.next_deadline_s for button in self._buttons.values()]
        times += [lamp.pattern.next_change_s(now_s) for lamp in self._lamps.values()]
        times += [self._sampled_s + RESAMPLE_S] if self._buttons else []
        return min((each for each in times if each is not None), default=None)

    def _sample(self, name: str, button: Button) -> bool:
        """The pin's level; what the edges say where it cannot be read."""
        try:
            return button.sample()
        except self._pin_errors as error:
            self._complain(f"button {name}", error)
            return button.qualifier.level_active

    def _show(self, name: str, lamp: Lamp, now_s: float) -> None:
        try:
            changed = lamp.show(now_s)
        except self._pin_errors as error:
            self._complain(f"lamp {name}", error)
            return
        if changed and self.on_lamp is not None:
            self.on_lamp(name, lamp.lit)

    def _complain(self, what: str, error: Exception) -> None:
        """Once for each device: its pin is looked at several times a second."""
        if what not in self._complained:
            self._complained.add(what)
            logger.error("%s: its pin does not work any more: %s", what, error)
