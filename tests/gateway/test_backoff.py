"""Reconnects come fast at first, seldom later, never all at once."""

from __future__ import annotations

from random import Random

import pytest

from agent.gateway.backoff import reconnect_delay_s, rejected_delay_s


class Fixed(Random):
    """A random source that always draws the same share of the range."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self._share


@pytest.mark.parametrize(
    ("attempt", "delay_s"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (10_000_000, 30)]
)
def test_the_reconnect_delay_doubles_up_to_half_a_minute(attempt: int, delay_s: float) -> None:
    assert reconnect_delay_s(attempt, Fixed(0.5)) == pytest.approx(delay_s)


@pytest.mark.parametrize(
    ("attempt", "delay_s"), [(1, 60), (2, 120), (3, 240), (4, 480), (5, 600), (6, 600), (10_000_000, 600)]
)
def test_the_delay_after_a_refused_login_grows_to_ten_minutes(attempt: int, delay_s: float) -> None:
    assert rejected_delay_s(attempt, Fixed(0.5)) == pytest.approx(delay_s)


@pytest.mark.parametrize(("share", "factor"), [(0.0, 0.75), (1.0, 1.25)])
def test_the_jitter_is_a_quarter_either_way(share: float, factor: float) -> None:
    assert reconnect_delay_s(4, Fixed(share)) == pytest.approx(8 * factor)
    assert rejected_delay_s(2, Fixed(share)) == pytest.approx(120 * factor)
