"""Lamps, sounders and relays on gpiozero pins, and the one thread that drives whatever is due.

    set_lamp, pulse … (any thread) ─▶ pattern, cadence, pulse ─▶ pins ◀─ next change due (this thread)

It waits for nothing else: neither a stuck consumer of presses nor a busy main loop makes a relay's pulse longer.
Every pin gets its inactive level in the moment in which it becomes an output.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hardware.colours import Colour
from hardware.lamps import Lamp, LampPattern, LampSpec
from hardware.relays import LockedOutError, Relay, RelaySpec
from hardware.sounders import Cadence, Sounder, SounderSpec
from hardware.taken_pins import BoardError, PinErrors, taking

logger = logging.getLogger(__name__)

RETRY_S = 0.25  # a pin that did not take its level is written again: a relay's end must not depend on one try

OnOutput = Callable[[str, bool], None]


@dataclass(frozen=True)
class OutputSpecs:
    """Everything that the board drives, each by its name."""

    lamps: Mapping[str, LampSpec] = field(default_factory=dict)
    relays: Mapping[str, RelaySpec] = field(default_factory=dict)
    sounders: Mapping[str, SounderSpec] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.lamps or self.relays or self.sounders)

    def pins(self) -> Iterator[tuple[str, int]]:
        """Each user with each of its pins."""
        for name, lamp in self.lamps.items():
            yield from ((f"lamp {name!r}", gpio) for gpio in lamp.pins)
        for name, relay in self.relays.items():
            yield f"relay {name!r}", relay.gpio
        for name, sounder in self.sounders.items():
            yield f"sounder {name!r}", sounder.gpio


class Outputs:
    """Runs `specs` on the pins of a gpiozero factory. All methods may be called from any thread.

    `on_relay(name, on)` is told of each change by whichever thread made it; it must return at once and not raise.
    """

    def __init__(
        self, factory: Any, specs: OutputSpecs, pin_errors: PinErrors, on_relay: OnOutput | None = None
    ) -> None:
        """Raises `BoardError`; no pin is held then."""
        self.on_lamp: OnOutput | None = None  # told of each change; must return at once
        self._on_relay = on_relay
        self._pin_errors = pin_errors
        self._complained: set[str] = set()
        self._changed = threading.Condition()  # guards everything below; its lock is re-entrant
        self._lamps: dict[str, Lamp] = {}
        self._relays: dict[str, Relay] = {}
        self._sounders: dict[str, Sounder] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="outputs", daemon=True)
        try:
            self._take_pins(factory, specs)
        except BaseException:
            self._release_pins()
            raise
        if specs:
            self._thread.start()

    def _take_pins(self, factory: Any, specs: OutputSpecs) -> None:
        """Relays first: what a daemon before this one left active must not wait."""
        for name, relay in specs.relays.items():
            with taking(f"relay {name!r} on GPIO {relay.gpio}", self._pin_errors):
                self._relays[name] = Relay(relay, factory.pin(relay.gpio))
        for name, sounder in specs.sounders.items():
            with taking(f"sounder {name!r} on GPIO {sounder.gpio}", self._pin_errors):
                self._sounders[name] = Sounder(sounder, factory.pin(sounder.gpio))
        for name, lamp in specs.lamps.items():
            where = " and ".join(f"GPIO {gpio}" for gpio in lamp.pins)
            with taking(f"lamp {name!r} on {where}", self._pin_errors):
                self._lamps[name] = Lamp(lamp, [factory.pin(gpio) for gpio in lamp.pins])

    # ---- lamps

    def set_lamp(self, name: str, pattern: LampPattern, colour: Colour) -> None:
        """Show `pattern` from now on. Raises `KeyError` for a lamp that there is not."""
        with self._changed:
            lamp = self._lamps[name]
            if (pattern, colour) == (lamp.pattern, lamp.colour):
                return
            lamp.pattern, lamp.colour = pattern, colour
            self._show_lamp(name, lamp, time.monotonic())
            self._changed.notify()

    def lamp(self, name: str) -> Lamp:
        """The lamp, to look at. Raises `KeyError`."""
        return self._lamps[name]

    # ---- relays and sounders

    def pulse(self, name: str, seconds: float | None = None) -> float:
        """Make the relay active for `seconds`, or as long as it is by default; how long it will be.

        Raises `KeyError` for a relay that there is not, `LockedOutError`, and `BoardError` when nobody would end it.
        """
        with self._changed:
            relay = self._relays[name]
            if self._closed or not self._thread.is_alive():
                raise BoardError("the board is closed")
            now_s = time.monotonic()
            pulse_s = relay.timer.start(now_s, seconds)
            changed = self._show(f"relay {name}", relay, now_s)
            self._changed.notify()
        if changed:
            self._tell([(name, True)])
        return pulse_s

    def relay_on(self, name: str) -> bool:
        """Whether the relay is active now. Raises `KeyError`."""
        return self._relays[name].on

    def sound(self, name: str, cadence: Cadence | None) -> None:
        """Begin a cadence, or be silent. Raises `KeyError`; one that is locked out stays silent."""
        with self._changed:
            sounder, now_s = self._sounders[name], time.monotonic()
            try:
                sounder.play(cadence, now_s)
            except LockedOutError as refusal:
                logger.info("sounder %s stays silent: %s", name, refusal)
            self._show(f"sounder {name}", sounder, now_s)
            self._changed.notify()

    def sounder_on(self, name: str) -> bool:
        """Whether the sounder sounds now. Raises `KeyError`."""
        return self._sounders[name].on

    # ---- what is due

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    if self._closed:
                        return
                    now_s = time.monotonic()
                    told = self._work(now_s)
                    if not told:
                        next_s = self._next_change_s(now_s)
                        self._changed.wait(None if next_s is None else max(0.0, next_s - time.monotonic()))
                self._tell(told)
        finally:  # also after a fault that nobody thought of: no relay stays active because its thread has gone
            with self._changed:
                self._release(self._relays)

    def _work(self, now_s: float) -> list[tuple[str, bool]]:
        """Drive every pin that is due; the relays that have changed. Runs with the lock held."""
        changed = [
            (name, relay.on) for name, relay in self._relays.items() if self._show(f"relay {name}", relay, now_s)
        ]
        for name, sounder in self._sounders.items():
            self._show(f"sounder {name}", sounder, now_s)
        for name, lamp in self._lamps.items():
            self._show_lamp(name, lamp, now_s)
        return changed

    def _show_lamp(self, name: str, lamp: Lamp, now_s: float) -> None:
        if self._show(f"lamp {name}", lamp, now_s) and self.on_lamp is not None:
            self.on_lamp(name, lamp.lit)

    def _show(self, what: str, output: Lamp | Relay | Sounder, now_s: float) -> bool:
        try:
            changed = output.show(now_s)
        except self._pin_errors as error:
            if what not in self._complained:  # once: it is tried again several times a second
                self._complained.add(what)
                logger.error("%s: its pin does not work any more: %s", what, error)
            return False
        if what in self._complained:
            self._complained.discard(what)
            logger.info("%s: its pin works again", what)
        return changed

    def _next_change_s(self, now_s: float) -> float | None:
        times = [lamp.pattern.next_change_s(now_s) for lamp in self._lamps.values()]
        times += [relay.timer.next_change_s(now_s) for relay in self._relays.values()]
        times += [sounder.next_change_s(now_s) for sounder in self._sounders.values()]
        times += [now_s + RETRY_S] if self._complained else []
        return min((each for each in times if each is not None), default=None)

    def _tell(self, changed: list[tuple[str, bool]]) -> None:
        for name, on in changed:
            if self._on_relay is not None:
                try:
                    self._on_relay(name, on)
                except RuntimeError as error:  # what asyncio raises when its loop has been closed
                    logger.warning("relay %s: its change was not taken: %s", name, error)

    # ---- the end

    def close(self) -> None:
        """Relays inactive, lamps dark, sounders silent; lamps' and sounders' pins inputs."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        self._release_pins()

    def _release_pins(self) -> None:
        self._release(self._relays)
        self._release(self._sounders)
        self._release(self._lamps)

    def _release(self, outputs: Mapping[str, Lamp | Relay | Sounder]) -> None:
        for name, output in outputs.items():
            try:
                output.close()
            except self._pin_errors as error:
                logger.warning("the pin of %s could not be released: %s", name, error)
