"""How long to wait before connecting again. Pure: the random source is passed in."""

from __future__ import annotations

from random import Random

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 30.0  # telnyx-rtc.md 1.7
JITTER = 0.25  # spreads the devices that a gateway's restart has thrown out at the same moment
_DOUBLINGS = 5  # 2^5 is past the maximum; caps the power for a line that has been down for months

REJECTED_FIRST_DELAY_S = 60.0  # a wrong password stays wrong: asking more often gets the device blocked
REJECTED_MAX_DELAY_S = 600.0
_REJECTED_DOUBLINGS = 4


def reconnect_delay_s(attempt: int, rng: Random) -> float:
    """Seconds before reconnect attempt `attempt` (1 is the first): min(2^(n-1), 30) ± 25 % (telnyx-rtc.md 1.7)."""
    delay_s = min(FIRST_DELAY_S * 2.0 ** min(attempt - 1, _DOUBLINGS), MAX_DELAY_S)
    return _jittered(delay_s, rng)


def rejected_delay_s(attempt: int, rng: Random) -> float:
    """Seconds before the next login after `attempt` refused ones in a row: 60 s doubling to 10 min, ± 25 %."""
    delay_s = min(REJECTED_FIRST_DELAY_S * 2.0 ** min(attempt - 1, _REJECTED_DOUBLINGS), REJECTED_MAX_DELAY_S)
    return _jittered(delay_s, rng)


def _jittered(delay_s: float, rng: Random) -> float:
    return delay_s * rng.uniform(1.0 - JITTER, 1.0 + JITTER)
