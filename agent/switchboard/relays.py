"""Relays and who may use them: commands, and digits of the far end. Every use is told as an event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from agent.calls.commands import CommandError
from agent.calls.door_codes import DoorCodes
from agent.calls.state import Direction
from hardware.relays import LockedOutError
from hardware.taken_pins import BoardError

if TYPE_CHECKING:
    from agent.conversation.conversation import Conversation
    from agent.settings.outputs import RelayConfig
    from agent.switchboard.display import Display

logger = logging.getLogger(__name__)

User = Literal["command", "dtmf"]


class Relays:
    """The relays of the `display`'s board. All methods are called in the event loop's thread."""

    def __init__(self, relays: Mapping[str, RelayConfig], display: Display) -> None:
        self._relays, self._display = relays, display
        codes = {name: each.opens_by_dtmf.get_secret_value() for name, each in relays.items() if each.opens_by_dtmf}
        self._codes = DoorCodes(codes)
        self._by: dict[str, tuple[User, str | None]] = {}  # who used it last, in which call
        self._source: tuple[str, str] = ("", "")  # of digits that count: call, and by which way they come

    def pulse(self, name: str | None, seconds: float | None, by: User, call_id: str | None = None) -> tuple[str, float]:
        """Make a relay (None: the only one) active for a while; which one, and for how many seconds.

        Raises `CommandError` with the reason, and tells it as an event.
        """
        name = self._name(name)
        longest_s = self._relays[name].max_pulse_s
        if seconds is not None and seconds > longest_s:
            raise CommandError(f"command/relay: pulse_s of {name} is at most {longest_s:g} (max_pulse_s in the config)")
        if self._display.board is None:
            raise CommandError("command/relay: the board is not ready yet")
        before = self._by.get(name)
        self._by[name] = by, call_id  # the board tells of the change before it returns
        try:
            return name, self._display.board.pulse(name, seconds)
        except (LockedOutError, BoardError) as error:
            if before is not None:
                self._by[name] = before
            self._tell(name, "refused", by, call_id, str(error))
            raise CommandError(f"command/relay: {name}: {error}") from None

    def changed(self, name: str, on: bool) -> None:
        """The board has made a relay active, or inactive again."""
        by, call_id = self._by.get(name, ("command", None))
        self._display.relays[name] = on
        self._tell(name, "on" if on else "off", by, call_id)

    def hear(self, digits: str, source: str, conversation: Conversation | None, call_id: str) -> None:
        """The far end has dialled in the call `call_id`. Told as it is, unless there are secret codes: who knows one
        dials it now and then in a call where it opens nothing."""
        usable = self._usable(conversation, call_id)
        hidden = self._codes.secret
        for digit in digits:
            told = None if hidden else digit
            self._display.event("dtmf", {"call_id": call_id, "digit": told, "source": source})
            if usable and self._counts(call_id, source):
                self._take(digit.upper(), call_id, usable)

    def _usable(self, conversation: Conversation | None, call_id: str) -> list[str]:
        """The relays that digits of this call may open."""
        if conversation is None or conversation.ending or conversation.call.id != call_id:
            return []
        call = conversation.call
        if not call.answered:
            return []
        return [
            name
            for name, relay in self._relays.items()
            if relay.opens_by_dtmf and (relay.dtmf_calls == "all" or call.direction is Direction.OUTBOUND)
        ]

    def _counts(self, call_id: str, source: str) -> bool:
        """A gateway may tell the same digit twice, in the audio stream and by INFO: the way of the first one counts."""
        if self._source[0] != call_id:
            self._source = call_id, source
        return self._source[1] == source

    def _take(self, digit: str, call_id: str, usable: list[str]) -> None:
        entry = self._codes.take(digit, asyncio.get_running_loop().time(), call_id, usable)
        if entry is None:
            return
        if entry.relay is not None:
            try:
                self.pulse(entry.relay, None, "dtmf", call_id)
            except CommandError as error:
                logger.warning("a code was dialled in call %s: %s", call_id, error)
        elif entry.verdict == "locked":
            logger.warning("too many wrong codes were dialled in call %s: codes are locked for a while", call_id)
            self._tell(None, "codes_locked", "dtmf", call_id)
        else:
            self._tell(None, "wrong_code", "dtmf", call_id)

    def _name(self, name: str | None) -> str:
        known = ", ".join(self._relays)
        if not known:
            raise CommandError("command/relay: the config has no relay")
        if name is None:
            if len(self._relays) > 1:
                raise CommandError(f"command/relay: relay: missing, expected one of {known}")
            return known
        if name not in self._relays:
            raise CommandError(f"command/relay: relay: no relay has this name, expected one of {known}")
        return name

    def _tell(self, name: str | None, action: str, by: User, call_id: str | None, detail: str = "") -> None:
        logger.info("relay %s: %s by %s%s", name, action, by, f" ({detail})" if detail else "")
        self._display.event("relay", {"relay": name, "action": action, "by": by, "call_id": call_id, "detail": detail})
