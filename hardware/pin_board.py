"""Buttons, inputs, and all that is driven, on gpiozero pins: what the real and the virtual board have in common.

One thread does everything about them that has a deadline; what is driven has its own (`hardware/outputs.py`):

    pin edge (gpiozero's thread) ─▶ qualifier ─┐
    deadline or re-sample (board's thread) ────┴▶ pending ─▶ on_button, on_input (board's thread)

No press depends on the main loop or on this thread being quick: an edge carries the time at which it happened, is put
into its qualifier by the thread that brings it, and a qualifier needs no more than a few numbers however many edges
come. A busy program gets its presses late, but gets them. Where edges themselves are lost (a storm of interference,
a driver's fault), the pins are read every `RESAMPLE_S`.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hardware.buttons import ButtonEvent, ButtonSpec
from hardware.colours import Colour
from hardware.contacts import Contact
from hardware.inputs import InputLevel, InputSpec
from hardware.lamps import LampPattern, LampSpec
from hardware.outputs import OnOutput, Outputs, OutputSpecs
from hardware.presses import PressPattern
from hardware.relays import RelaySpec
from hardware.sounders import Cadence, SounderSpec
from hardware.taken_pins import PinErrors, check_pins, taking

logger = logging.getLogger(__name__)

RESAMPLE_S = 0.25  # a lost edge is noticed while the finger is still on the button

OnButton = Callable[[str, ButtonEvent], None]
OnInput = Callable[[str, bool], None]


def pins_of(
    buttons: Mapping[str, ButtonSpec], inputs: Mapping[str, InputSpec], outputs: OutputSpecs
) -> Iterator[tuple[str, int]]:
    """Each user of the header with each of its pins."""
    yield from ((f"button {name!r}", button.gpio) for name, button in buttons.items())
    yield from ((f"input {name!r}", spec.gpio) for name, spec in inputs.items())
    yield from outputs.pins()


class PinBoard(ABC):
    """Runs everything on the pins of the gpiozero factory that a kind of board opens; where there is nothing, none is.

    `on_button(name, event)` and `on_input(name, active)` are called from the board's thread, one event at a time and in
    order, the latter also with the level that each input has at the start. They must return soon and not raise; an
    asyncio program passes `lambda *event: loop.call_soon_threadsafe(take, *event)`. All methods may be called from any
    thread, also from inside `on_button`.
    """

    def __init__(
        self,
        buttons: Mapping[str, ButtonSpec],
        lamps: Mapping[str, LampSpec],
        on_button: OnButton,
        *,
        relays: Mapping[str, RelaySpec] | None = None,
        sounders: Mapping[str, SounderSpec] | None = None,
        on_relay: OnOutput | None = None,
        inputs: Mapping[str, InputSpec] | None = None,
        on_input: OnInput | None = None,
    ) -> None:
        """Raises `BoardError`; no pin is held then."""
        self._on_button, self._on_input = on_button, on_input
        self._complained: set[str] = set()
        self._button_specs, self._input_specs = dict(buttons), dict(inputs or {})
        outputs = OutputSpecs(lamps, relays or {}, sounders or {})
        check_pins(pins_of(buttons, self._input_specs, outputs))
        self._factory: Any = None
        self._pin_errors: PinErrors = ()
        if buttons or inputs or outputs:
            self._factory, self._pin_errors = self._open_factory(outputs)
        self._changed = threading.Condition()  # guards everything below; its lock is re-entrant
        self._pending: deque[tuple[Contact[Any], ButtonEvent | bool]] = deque()
        self._buttons: dict[str, Contact[PressPattern]] = {}
        self._inputs: dict[str, Contact[InputLevel]] = {}
        self._sampled_s = time.monotonic()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        with self._changed:  # an edge may come as soon as a button watches its pin
            # Those first: a relay that a daemon before this one left active must not wait.
            self._outputs = Outputs(self._factory, outputs, self._pin_errors, on_relay)
            try:
                self._take_pins()
            except BaseException:
                self._release_pins()
                raise
        if self._factory is not None:
            self._thread.start()

    @abstractmethod
    def _open_factory(self, outputs: OutputSpecs) -> tuple[Any, PinErrors]:
        """The gpiozero factory, and the exceptions that its pins raise. Raises `BoardError`."""

    def _take_pins(self) -> None:
        for name, button in self._button_specs.items():
            with taking(f"button {name!r} on GPIO {button.gpio}", self._pin_errors):
                self._buttons[name] = self._button(name, button, self._factory.pin(button.gpio))
        for name, spec in self._input_specs.items():
            with taking(f"input {name!r} on GPIO {spec.gpio}", self._pin_errors):
                contact = self._inputs[name] = self._input(name, spec, self._factory.pin(spec.gpio))
            self._pending.append((contact, contact.signal.active))

    def _button(self, name: str, spec: ButtonSpec, pin: Any) -> Contact[PressPattern]:
        return Contact(
            name,
            pin,
            pull=spec.pull,
            active_low=spec.pressed_level_low,
            make_signal=lambda pressed: PressPattern(spec, pressed=pressed, now_s=time.monotonic()),
            tell=self._on_button,
            on_change=self._edge,
        )

    def _input(self, name: str, spec: InputSpec, pin: Any) -> Contact[InputLevel]:
        return Contact(
            name,
            pin,
            pull=spec.pull,
            active_low=spec.active_low,
            make_signal=lambda active: InputLevel(spec, active=active),
            tell=self._on_input,
            on_change=self._edge,
        )

    # ---- what is driven

    @property
    def on_lamp(self) -> OnOutput | None:
        """Told of each change of a lamp, as `on_lamp(name, lit)`; must return at once."""
        return self._outputs.on_lamp

    @on_lamp.setter
    def on_lamp(self, told: OnOutput | None) -> None:
        self._outputs.on_lamp = told

    def set_lamp(self, name: str, pattern: LampPattern, colour: Colour = Colour.WHITE) -> None:
        """Show `pattern` from now on, an RGB lamp in `colour`. Raises `KeyError` for a lamp that there is not."""
        self._outputs.set_lamp(name, pattern, colour)

    def lamp_pattern(self, name: str) -> LampPattern:
        """What the lamp has been told to show."""
        return self._outputs.lamp(name).pattern

    def lamp_colour(self, name: str) -> Colour:
        """In which colour, if it has several."""
        return self._outputs.lamp(name).colour

    def lamp_lit(self, name: str) -> bool:
        """Whether the lamp is lit now (a blinking lamp changes)."""
        return self._outputs.lamp(name).lit

    def pulse(self, name: str, seconds: float | None = None) -> float:
        """Make the relay active for `seconds`, or as long as it is by default; how long it will be.

        Raises `KeyError` for a relay that there is not, `LockedOutError`, and `BoardError` once the board is closed.
        """
        return self._outputs.pulse(name, seconds)

    def relay_on(self, name: str) -> bool:
        """Whether the relay is active now."""
        return self._outputs.relay_on(name)

    def sound(self, name: str, cadence: Cadence | None) -> None:
        """Let the sounder begin a cadence, or be silent. Raises `KeyError` for a sounder that there is not."""
        self._outputs.sound(name, cadence)

    def sounder_on(self, name: str) -> bool:
        """Whether the sounder sounds now (a cadence has pauses)."""
        return self._outputs.sounder_on(name)

    # ---- buttons and inputs

    def is_pressed(self, name: str) -> bool:
        """Whether the button is down, as qualified."""
        return self._buttons[name].signal.pressed

    def input_active(self, name: str) -> bool:
        """Whether the input is active, as qualified. Raises `KeyError` for one that there is not."""
        return self._inputs[name].signal.active

    def close(self) -> None:
        """Lamps off, relays inactive, pins released. No event after it, except one under way in its thread."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        self._release_pins()

    def _release_pins(self) -> None:
        self._outputs.close()
        for contact in self._contacts():
            try:
                contact.close()
            except self._pin_errors as error:
                logger.warning("a pin could not be released: %s", error)

    def _contacts(self) -> list[Contact[Any]]:
        return [*self._buttons.values(), *self._inputs.values()]

    def _edge(self, contact: Contact[Any], level_active: bool, now_s: float) -> None:
        with self._changed:
            self._pending.extend((contact, event) for event in contact.signal.edge(level_active, now_s))
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
            for contact, event in batch:
                self._deliver(contact, event)

    def _deliver(self, contact: Contact[Any], event: ButtonEvent | bool) -> None:
        if self._closed or contact.tell is None:
            return
        try:
            contact.tell(contact.name, event)
        except RuntimeError as error:  # what asyncio raises when its loop has been closed
            logger.warning("%s: %s was not taken: %s", contact.name, event, error)

    def _tick(self, now_s: float) -> float | None:
        """Do what is due; returns the time of the next call. Runs with the lock held."""
        contacts = self._contacts()
        resample = bool(contacts) and now_s >= self._sampled_s + RESAMPLE_S
        if resample:
            self._sampled_s = now_s
        for contact in contacts:
            due_s = contact.signal.next_deadline_s
            if resample or (due_s is not None and due_s <= now_s):
                events = contact.signal.poll(self._sample(contact), now_s)
                self._pending.extend((contact, event) for event in events)
        times = [contact.signal.next_deadline_s for contact in contacts]
        times += [self._sampled_s + RESAMPLE_S] if contacts else []
        return min((each for each in times if each is not None), default=None)

    def _sample(self, contact: Contact[Any]) -> bool:
        """The pin's level; what the edges say where it cannot be read."""
        try:
            return contact.sample()
        except self._pin_errors as error:
            self._complain(contact.name, error)
            return bool(contact.signal.level_active)

    def _complain(self, what: str, error: Exception) -> None:
        """Once for each device: its pin is looked at several times a second."""
        if what not in self._complained:
            self._complained.add(what)
            logger.error("%s: its pin does not work any more: %s", what, error)
