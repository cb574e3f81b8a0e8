"""The encoder control over minutes of a call: on paths too narrow for it, on bad radio, on both, and when it gets
better. The bounds are what the worst of the rows was measured at, with a third on top."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.media.narrow_path import BEST, WIDE_BPS, Call, Path

SETTLED_S = 120.0  # after that the steady state is judged, for ten minutes
END_S = SETTLED_S + 600.0
LEAST_BPS = 20_000  # the last rung needs nearly as much with its headers


def returned_after_s(call: Call, since_s: float) -> float:
    """How long after `since_s` the best settings were in force for good."""
    assert call.control.settings.bitrate_bps == BEST.bitrate_bps, "never"
    assert call.control.settings.ptime_ms == BEST.ptime_ms
    moments = [at_s for at_s, one in call.changes if at_s > since_s and one.network_bps < BEST.network_bps]
    return max(moments, default=since_s) - since_s


@pytest.mark.parametrize("full_queue", [True, False])
@pytest.mark.parametrize("interval_s", [1.0, 5.0])
@pytest.mark.parametrize(("queue_s", "propagation_s"), [(0.2, 0.02), (0.2, 0.08), (0.5, 0.02), (1.0, 0.08)])
@pytest.mark.parametrize("link_bps", [20_000, 30_000, 40_000, 60_000])
def test_a_narrow_path_is_filled_without_loss_and_taken_up_again_when_it_is_wide(
    link_bps: int, queue_s: float, propagation_s: float, interval_s: float, full_queue: bool
) -> None:
    call = Call(Path(link_bps, queue_s, propagation_s), interval_s, full_queue=full_queue)
    call.run(END_S)
    assert call.lossy_share(SETTLED_S, END_S) <= (0.12 if link_bps == LEAST_BPS else 0.045)
    assert call.climbs(SETTLED_S, END_S) <= 20
    if link_bps > LEAST_BPS:
        assert call.mean_queue_s(SETTLED_S, END_S) < 0.15
        rates = [one.network_bps for at_s, one in call.changes if at_s > SETTLED_S] or [BEST.network_bps]
        assert max(rates) > 0.8 * link_bps
    call.path.link_bps = WIDE_BPS
    call.run(240)
    assert returned_after_s(call, END_S) < 230


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("interval_s", [1.0, 5.0])
@pytest.mark.parametrize("radio_loss", [0.03, 0.05, 0.1, 0.15])
def test_a_bad_radio_link_costs_little_of_the_rate_and_its_loss_is_left_to_fec(
    radio_loss: float, interval_s: float, seed: int
) -> None:
    call = Call(Path(radio_loss=radio_loss), interval_s, seed)
    call.run(600)
    assert call.below_best_s(0, 600) < 75
    lowest = min((one.network_bps for _, one in call.changes), default=BEST.network_bps)
    assert lowest > 0.75 * BEST.network_bps  # a trial is one rung; heavy loss by chance two
    assert 0.5 * radio_loss <= call.control.settings.packet_loss_percent / 100


class BurstyCall(Call):
    """Of a radio that loses a tenth, four packets at a time (Gilbert's model)."""

    _bad = False

    def _cross(self, size: float) -> float | None:
        self._bad = self._random.random() < (0.75 if self._bad else 0.028)
        wait_s = super()._cross(size)
        return None if self._bad else wait_s


@pytest.mark.parametrize("interval_s", [1.0, 5.0])
def test_loss_in_bursts_is_the_radios_as_well(interval_s: float) -> None:
    call = BurstyCall(Path(), interval_s)
    call.run(600)
    assert call.below_best_s(0, 600) < 120


@pytest.mark.parametrize("interval_s", [1.0, 5.0])
@pytest.mark.parametrize("radio_loss", [0.05, 0.1])
@pytest.mark.parametrize("link_bps", [20_000, 40_000])
def test_bad_radio_on_a_narrow_path_does_not_keep_the_rate_down_when_the_path_is_wide(
    link_bps: int, radio_loss: float, interval_s: float
) -> None:
    call = Call(Path(link_bps, radio_loss=radio_loss), interval_s, full_queue=True)
    call.run(END_S)
    assert call.lossy_share(SETTLED_S, END_S, over=radio_loss + 0.08) < 0.1
    call.path.link_bps = WIDE_BPS
    call.run(290)
    assert call.control.settings.bitrate_bps > 0.7 * BEST.bitrate_bps
    assert call.control.settings.ptime_ms == BEST.ptime_ms


@pytest.mark.parametrize(("interval_s", "within_s"), [(1.0, 8), (5.0, 15)])
def test_a_path_that_becomes_narrow_in_the_call_is_answered_within_a_few_reports(
    interval_s: float, within_s: float
) -> None:
    call = Call(Path(queue_s=1.0), interval_s)
    call.run(120)
    assert [one for _, one in call.changes] == [replace(BEST, packet_loss_percent=0)]
    call.path.link_bps = 40_000
    call.run(300)
    lost_s = [at_s - 120 for at_s, lost in call.sent if lost]
    assert max(lost_s) < within_s
    assert call.mean_queue_s(180, 420) < 0.25


def test_a_burst_of_loss_is_no_reason_to_send_less() -> None:
    call = Call(Path(), 1.0)
    call.run(60)
    call.path.radio_loss = 0.15
    call.run(8)
    call.path.radio_loss = 0.0
    call.run(60)
    assert call.below_best_s(0, call.now_s) == 0
