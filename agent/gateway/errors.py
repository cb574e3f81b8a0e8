"""What a request to the gateway can end in besides its result."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.calls.codes import Code


class GatewayError(Exception):
    """Base of all errors that a line raises to its caller. `str()` is one sentence without secrets."""


class GatewayRefused(GatewayError):  # noqa: N818  an answer, not a fault
    """The gateway answered with a JSON-RPC error; `code` and `message` are its own (0 and "" if it gave none)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"the gateway refused: {message or 'no reason given'} ({code})")
        self.code = code
        self.message = message


class LineDown(GatewayError):  # noqa: N818  a state of the line, not a fault
    """There is no connection to send the request on, or it went before the gateway answered."""


class ResultLost(LineDown):
    """The request has left, or may have, and the connection went before its result: nobody knows what was done."""


class GatewayTimeout(GatewayError):  # noqa: N818  pairs with GatewayRefused
    """The connection stands, but the gateway did not answer this request in time."""

    def __init__(self, method: str, timeout_s: float) -> None:
        super().__init__(f"the gateway did not answer {method} within {timeout_s:.0f} s")


class LossKind(Enum):
    """What the end of a connection means for the next one."""

    BROKEN = "broken"  # try again soon
    REJECTED = "rejected"  # the gateway does not want these credentials: trying again soon is pointless
    PUNTED = "punted"  # the gateway sent us away: another device may have our place, which is not to be fought over
    DELIBERATE = "deliberate"  # our own doing: come back at once


class ConnectionLost(Exception):  # noqa: N818  how every connection ends
    """Ends one connection, never the line. `detail` says why in half a sentence for a person.

    `warning`: what the SDK would tell its application about it, if it has a code for it.
    """

    def __init__(self, detail: str, kind: LossKind = LossKind.BROKEN, *, warning: Code | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.kind = kind
        self.warning = warning

    @property
    def rejected(self) -> bool:
        """The gateway refuses the credentials."""
        return self.kind is LossKind.REJECTED
