"""Loss that fewer bits mend, and loss that they do not."""

from __future__ import annotations

import pytest

from agent.media.loss_at_rate import ENOUGH_LOST, ENOUGH_S, LossAtRate

HIGH_BPS, LOW_BPS, LINK_BPS = 50_000, 40_000, 42_000
PACKETS_PER_S = 50.0
LOST_AT_HIGH = 1 - LINK_BPS / HIGH_BPS


def after_a_change(from_bps: float, from_loss: float, to_bps: float, to_loss: float) -> LossAtRate:
    """Ten seconds at one rate, a dozen at the other; a report a second."""
    at_rate = LossAtRate(from_bps, PACKETS_PER_S)
    for second in range(1, 11):
        at_rate.report(float(second), 1.0, from_loss)
    at_rate.change(10.0, to_bps, PACKETS_PER_S, from_loss)
    for second in range(11, 23):
        at_rate.report(float(second), 1.0, to_loss)
    return at_rate


@pytest.mark.parametrize(
    ("before", "after", "to_bps", "verdict"),
    [
        (LOST_AT_HIGH, 0.0, LOW_BPS, True),  # a bottleneck, from above
        (LOST_AT_HIGH, LOST_AT_HIGH, LOW_BPS, False),  # a bad link
        (0.05 + LOST_AT_HIGH, 0.05, LOW_BPS, True),  # both
        (LOST_AT_HIGH, 1 - LINK_BPS / 60_000, 60_000, True),  # a bottleneck, and more bits
        (LOST_AT_HIGH, LOST_AT_HIGH, 60_000, False),
        (0.0, 0.0, 60_000, False),
    ],
)
def test_the_loss_after_a_change_tells_a_bottleneck_from_a_bad_link(
    before: float, after: float, to_bps: float, verdict: bool
) -> None:
    assert after_a_change(HIGH_BPS, before, to_bps, after).follows_rate() is verdict


def test_there_is_no_verdict_by_chance() -> None:
    at_rate = LossAtRate(HIGH_BPS, PACKETS_PER_S)
    assert at_rate.follows_rate() is None  # nothing has changed
    loss = 0.03
    needed_s = ENOUGH_LOST / PACKETS_PER_S / loss
    assert needed_s > ENOUGH_S
    for second in range(1, int(needed_s) + 1):
        at_rate.report(float(second), 1.0, loss)
    assert not at_rate.is_known()
    at_rate.report(needed_s + 1, 1.0, loss)
    assert at_rate.is_known()
    at_rate.change(20.0, LOW_BPS, PACKETS_PER_S, loss)
    for second in range(22, 22 + int(needed_s)):
        at_rate.report(float(second), 1.0, 0.0)
    assert at_rate.follows_rate() is None  # some seconds without loss are nothing where three of a hundred get lost
    at_rate.report(22 + needed_s, 1.0, 0.0)
    assert at_rate.follows_rate() is True


def test_many_lost_packets_at_once_are_no_verdict_either() -> None:
    at_rate = LossAtRate(HIGH_BPS, PACKETS_PER_S)
    at_rate.report(ENOUGH_S - 1, ENOUGH_S - 1, 0.5)
    assert not at_rate.is_known()


def test_what_was_sent_before_the_change_does_not_count() -> None:
    at_rate = LossAtRate(HIGH_BPS, PACKETS_PER_S)
    at_rate.report(5.0, 5.0, 0.3)
    at_rate.change(6.0, LOW_BPS, PACKETS_PER_S, 0.3)
    at_rate.report(10.0, 5.0, 0.2)
    assert at_rate.loss is None
    at_rate.report(15.0, 5.0, 0.0)
    assert at_rate.loss == 0.0


def test_the_mean_follows_a_link_that_changes() -> None:
    at_rate = LossAtRate(HIGH_BPS, PACKETS_PER_S)
    for second in range(300):
        at_rate.report(float(second), 1.0, 0.1 if second < 200 else 0.0)
    assert at_rate.loss == pytest.approx(0.0, abs=0.001)


def test_a_report_after_a_long_silence_counts_as_one() -> None:
    at_rate = LossAtRate(HIGH_BPS, PACKETS_PER_S)
    for second in range(10):
        at_rate.report(float(second), 1.0, 0.0)
    at_rate.report(1000.0, 990.0, 0.2)
    assert at_rate.loss is not None
    assert 0.05 < at_rate.loss < 0.15
