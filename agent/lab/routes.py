"""Who answers which number in the lab, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.lab.far_end import BROWSER, FREESWITCH, FarEnd, FarEndStyle
from agent.lab.leg import CALL_REJECTED, UNALLOCATED_NUMBER, USER_BUSY, Hangup
from agent.lab.wire import Dialect, Step

FarEndFactory = Callable[[], FarEnd]

ECHO_NUMBER = "+15550100"  # 555-01xx is kept free for examples
EARLY_MEDIA_S = 1.0  # how long the announcement runs before the answer


@dataclass(frozen=True)
class Route:
    """What happens to a call: a far end answers it, a hang-up ends it, or it rings for ever."""

    far_end: FarEndFactory | None = None
    hangup: Hangup | None = None
    order: tuple[Step, ...] | None = None  # None: as the faults or the dialect say
    early_s: float = 0.0  # from `media` to `answer`


def style_of(dialect: Dialect) -> FarEndStyle:
    """The far end that goes with a dialect: FreeSWITCH's own media for `verto`, a browser-like one otherwise."""
    return FREESWITCH if dialect.freeswitch_sdp else BROWSER


def routing_table(dialect: Dialect) -> dict[str, Route]:
    """The numbers every lab gateway knows. All other numbers are looked up among the clients' logins."""
    style = style_of(dialect)

    def echo() -> FarEnd:
        return FarEnd(style)

    def mute() -> FarEnd:
        return FarEnd(replace(style, sends_audio=False))

    late = (Step.RINGING, Step.MEDIA, Step.ANSWER, Step.RESULT)
    early = (Step.RESULT, Step.MEDIA, Step.ANSWER)
    return {
        ECHO_NUMBER: Route(echo),
        "busy": Route(hangup=USER_BUSY),
        "reject": Route(hangup=CALL_REJECTED),
        "unallocated": Route(hangup=UNALLOCATED_NUMBER),
        "noanswer": Route(),
        "silent": Route(mute),
        "late-result": Route(echo, order=late),
        "early-media": Route(echo, order=early, early_s=EARLY_MEDIA_S),
    }


def user_part(number: str) -> str:
    """The number or user name of what was dialled: "sip:bob@example.org" is "bob"."""
    return number.removeprefix("sip:").partition("@")[0] if number.startswith("sip:") else number
