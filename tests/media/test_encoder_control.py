"""What the encoder does about reports: loss is FEC's, a queue is the bit rate's, and silence is no good news."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.media.encoder_control import (
    CLEAR_S,
    FIRST_LOSSLESS_S,
    FRAMES_MS,
    LOSSLESS_S,
    MAX_CREDIT_S,
    MAX_FEC_PERCENT,
    NEXT_TRIAL_S,
    EncoderControl,
    EncoderLimits,
    EncoderSettings,
)

BEST = EncoderSettings(32000, 5, 20)
LOSSLESS = EncoderSettings(32000, 0, 20)  # after a time without a lost packet
LIMITS = EncoderLimits(BEST, min_bitrate_bps=12000, max_ptime_ms=60)
RTT_S, JITTER_S = 0.04, 0.003
HEADERS_BITS = 56 * 8


class Network:
    """Reports that come every `interval_s`."""

    def __init__(self, limits: EncoderLimits = LIMITS, interval_s: float = 1.0) -> None:
        self.control = EncoderControl(limits)
        self.interval_s = interval_s
        self.now_s = 100.0
        self.changes: list[tuple[float, EncoderSettings]] = []
        self.tell(10, loss=0.0)

    def tell(
        self, seconds: float, *, loss: float, rtt_s: float | None = RTT_S, jitter_s: float = JITTER_S
    ) -> EncoderSettings:
        for _ in range(round(seconds / self.interval_s)):
            self.now_s += self.interval_s
            settings = self.control.report(self.now_s, loss, rtt_s, jitter_s)
            if settings is not None:
                self.changes.append((self.now_s, settings))
        return self.control.settings


def rate_with_headers(bitrate_bps: int, ptime_ms: int) -> float:
    return bitrate_bps + HEADERS_BITS * 1000 / ptime_ms


def test_a_good_network_changes_nothing() -> None:
    network = Network()
    assert network.tell(60, loss=0.01) == BEST
    assert network.changes == []


@pytest.mark.parametrize("loss", [0.05, 0.08, 0.12])
def test_loss_without_a_queue_raises_fec_at_the_same_rate(loss: float) -> None:
    settings = Network().tell(5, loss=loss)
    assert settings.packet_loss_percent == pytest.approx(100 * loss, abs=1.1)
    assert (settings.bitrate_bps, settings.ptime_ms) == (BEST.bitrate_bps, BEST.ptime_ms)


def test_fec_rises_with_the_first_report_and_falls_slowly() -> None:
    network = Network()
    assert network.tell(1, loss=0.15).packet_loss_percent >= 11
    assert network.tell(3, loss=0.0).packet_loss_percent > 5
    assert network.tell(30, loss=0.0).packet_loss_percent == BEST.packet_loss_percent


def test_fec_gets_to_its_most_also_from_just_below() -> None:
    network = Network()
    network.tell(1, loss=0.19 / 0.75)
    assert network.control.settings.packet_loss_percent == MAX_FEC_PERCENT - 1
    assert network.tell(3, loss=0.25).packet_loss_percent == MAX_FEC_PERCENT


def test_congestion_lowers_the_rate_then_lengthens_the_frames_down_to_the_limits() -> None:
    network = Network()
    assert network.tell(1, loss=0.05, rtt_s=0.2) == EncoderSettings(25600, 5, 20)
    settings = network.tell(30, loss=0.05, rtt_s=0.3)
    assert (settings.bitrate_bps, settings.ptime_ms) == (12000, 60)
    rates = [rate_with_headers(one.bitrate_bps, one.ptime_ms) for _, one in network.changes]
    assert all(after <= before for before, after in pairwise([rate_with_headers(32000, 20), *rates]))
    frames = [one.ptime_ms for _, one in network.changes]
    assert frames == sorted(frames)
    assert next(one.bitrate_bps for _, one in network.changes if one.ptime_ms > 20) <= 32000 * 2 / 3


def test_a_long_queue_is_congestion_without_any_loss() -> None:
    assert Network().tell(1, loss=0.0, rtt_s=RTT_S + 0.3).bitrate_bps < BEST.bitrate_bps


def test_loss_beyond_what_fec_repairs_lowers_the_rate_too() -> None:
    settings = Network().tell(4, loss=0.4)
    assert settings.bitrate_bps < BEST.bitrate_bps
    assert settings.packet_loss_percent == MAX_FEC_PERCENT


def test_without_a_round_trip_the_jitter_tells_of_the_queue() -> None:
    assert Network().tell(2, loss=0.05, rtt_s=None).bitrate_bps == BEST.bitrate_bps
    assert Network().tell(2, loss=0.05, rtt_s=None, jitter_s=0.1).bitrate_bps < BEST.bitrate_bps


def test_recovery_is_one_rung_at_a_time_and_slower_than_the_fall() -> None:
    network = Network()
    network.tell(20, loss=0.05, rtt_s=0.3)
    fall_s = network.changes[-1][0] - network.changes[0][0]
    network.changes.clear()
    assert network.tell(300, loss=0.0) == LOSSLESS
    rises = [(at_s, one) for at_s, one in network.changes]
    rates = [rate_with_headers(one.bitrate_bps, one.ptime_ms) for _, one in rises]
    assert rates == sorted(rates)
    moments = [at_s for at_s, one in rises if one.bitrate_bps > 12000 or one.ptime_ms < 60]
    assert all(later - sooner >= CLEAR_S for sooner, later in pairwise(moments) if later != sooner)
    assert moments[-1] - moments[0] > 3 * fall_s


def test_a_climb_that_leads_to_congestion_again_is_tried_later_and_later() -> None:
    network, waits = Network(), []
    for _ in range(4):
        network.tell(1, loss=0.05, rtt_s=0.3)
        low, fell_s = network.control.settings.bitrate_bps, network.now_s
        while network.tell(1, loss=0.0).bitrate_bps <= low:
            assert network.now_s < fell_s + 120
        waits.append(network.now_s - fell_s)
    assert waits == sorted(waits)
    assert waits[-1] >= 4 * waits[0]


def test_a_climb_to_the_best_that_did_no_harm_is_not_blamed_for_a_packet_lost_minutes_later() -> None:
    network = Network()
    network.tell(1, loss=0.05, rtt_s=RTT_S + 0.3)
    assert network.tell(60, loss=0.0).bitrate_bps == BEST.bitrate_bps
    network.tell(600, loss=0.0)
    network.changes.clear()
    network.tell(1, loss=0.02)
    network.tell(30, loss=0.0)
    assert {settings.bitrate_bps for _, settings in network.changes} <= {BEST.bitrate_bps}  # FEC comes and goes


def test_reports_that_do_not_come_are_no_good_news() -> None:
    network = Network()
    network.tell(3, loss=0.05, rtt_s=0.3)
    low = network.control.settings
    network.now_s += 600  # nothing is heard for ten minutes
    assert network.tell(1, loss=0.0).ptime_ms == low.ptime_ms
    assert network.tell(CLEAR_S + 1, loss=0.0).ptime_ms < low.ptime_ms


@pytest.mark.parametrize("interval_s", [0.5, 1.0, 5.0, MAX_CREDIT_S])
def test_any_report_interval_leads_down_and_back_and_never_to_two_steps_a_second(interval_s: float) -> None:
    network = Network(interval_s=interval_s)
    network.tell(60, loss=0.05, rtt_s=0.3)
    network.tell(300, loss=0.0)
    moments = [at_s for at_s, _ in network.changes]
    steps = [one for one in network.changes if (one[1].bitrate_bps, one[1].ptime_ms) != (32000, 20)]
    assert steps[0][1].bitrate_bps < 32000
    assert network.control.settings == LOSSLESS
    bitrates = [(at_s, one.bitrate_bps) for at_s, one in network.changes]
    falls = [now[0] - was[0] for was, now in pairwise(bitrates) if now[1] < was[1]]
    assert all(between >= 0.99 for between in falls)
    assert moments == sorted(moments)


def test_a_route_that_became_longer_is_no_queue_for_ever() -> None:
    network = Network()
    network.tell(90, loss=0.0, rtt_s=0.4)
    assert network.tell(200, loss=0.0, rtt_s=0.4) == LOSSLESS


def test_a_codec_with_one_rate_and_no_fec_has_only_its_frames_to_lengthen() -> None:
    limits = EncoderLimits(EncoderSettings(64000, 0, 20), 64000, 40, fec=False)
    assert limits.rungs() == ((64000, 20), (64000, 40))
    assert Network(limits).tell(20, loss=0.3, rtt_s=0.5) == EncoderSettings(64000, 0, 40)


@given(
    bitrate=st.integers(6000, 510_000),
    least=st.integers(6000, 510_000),
    ptime=st.sampled_from(FRAMES_MS),
    longest=st.sampled_from(FRAMES_MS),
)
def test_rungs_begin_at_the_best_stay_within_the_limits_and_always_save_something(
    bitrate: int, least: int, ptime: int, longest: int
) -> None:
    rungs = EncoderLimits(EncoderSettings(bitrate, 5, ptime), least, longest).rungs()
    assert rungs[0] == (bitrate, ptime)
    assert all(min(least, bitrate) <= rate <= bitrate for rate, _ in rungs)
    assert all(ptime <= frame <= max(longest, ptime) for _, frame in rungs)
    rates = [rate_with_headers(*rung) for rung in rungs]
    assert all(after < before for before, after in pairwise(rates))
    assert rungs[-1] == (min(least, bitrate), max(longest, ptime))


@given(
    st.lists(
        st.tuples(st.floats(0, 30), st.floats(0, 1), st.none() | st.floats(0, 65536), st.floats(0, 90000)), max_size=80
    )
)
def test_whatever_is_reported_the_settings_stay_within_the_limits(
    reports: list[tuple[float, float, float | None, float]],
) -> None:
    control, now_s = EncoderControl(LIMITS), 0.0
    for after_s, loss, round_trip_s, jitter_s in reports:
        now_s += after_s
        before = control.settings
        changed = control.report(now_s, loss, round_trip_s, jitter_s)
        assert (changed is None) == (control.settings == before)
        assert 12000 <= control.settings.bitrate_bps <= 32000
        assert 20 <= control.settings.ptime_ms <= 60
        percent = control.settings.packet_loss_percent
        assert percent == 0 or BEST.packet_loss_percent <= percent <= MAX_FEC_PERCENT


@pytest.mark.parametrize("interval_s", [1.0, 2.5, 5.0])
def test_a_call_that_loses_nothing_is_without_fec_after_its_first_seconds(interval_s: float) -> None:
    control, now_s = EncoderControl(LIMITS), 0.0
    while now_s < FIRST_LOSSLESS_S:
        assert control.settings.packet_loss_percent == BEST.packet_loss_percent
        control.report(now_s, 0.0, RTT_S, JITTER_S)
        now_s += interval_s
    control.report(now_s, 0.0, RTT_S, JITTER_S)
    assert control.settings == LOSSLESS


def test_one_report_of_a_long_time_does_not_take_fec_away() -> None:
    control = EncoderControl(LIMITS)
    assert control.report(600.0, 0.0, RTT_S, JITTER_S) is None
    assert control.report(1200.0, 0.0, RTT_S, JITTER_S) is None


def test_the_first_loss_brings_fec_back_which_then_stays_for_a_minute() -> None:
    network = Network()
    assert network.tell(FIRST_LOSSLESS_S, loss=0.0).packet_loss_percent == 0
    assert network.tell(1, loss=0.02).packet_loss_percent == BEST.packet_loss_percent
    assert network.tell(LOSSLESS_S - 1, loss=0.0).packet_loss_percent == BEST.packet_loss_percent
    assert network.tell(1, loss=0.0).packet_loss_percent == 0


def test_loss_in_the_first_seconds_keeps_fec_for_a_minute() -> None:
    control = EncoderControl(LIMITS)
    control.report(0.0, 0.01, RTT_S, JITTER_S)
    for second in range(1, round(LOSSLESS_S)):
        control.report(float(second), 0.0, RTT_S, JITTER_S)
    assert control.settings.packet_loss_percent == BEST.packet_loss_percent
    assert control.report(LOSSLESS_S, 0.0, RTT_S, JITTER_S) == LOSSLESS


def test_lasting_loss_without_a_queue_is_tried_with_fewer_bits_which_are_given_back_when_they_do_not_help() -> None:
    network = Network()
    network.tell(120, loss=0.08)
    rates = [one.bitrate_bps for _, one in network.changes if one.bitrate_bps != BEST.bitrate_bps]
    assert set(rates) == {25600}
    assert network.control.settings.bitrate_bps == BEST.bitrate_bps
    network.changes.clear()
    network.tell(NEXT_TRIAL_S - 130, loss=0.08)
    assert {one.bitrate_bps for _, one in network.changes} <= {BEST.bitrate_bps}


def test_loss_that_fewer_bits_have_mended_was_of_a_queue_that_the_round_trip_is_learnt_without_from_now_on() -> None:
    control, second = EncoderControl(LIMITS), 0
    while control.settings.bitrate_bps == BEST.bitrate_bps:
        control.report(float(second), 0.1, 0.6, JITTER_S)  # as full as in the first report
        second += 1
        assert second < 60
    tried_bps = control.settings.bitrate_bps
    for _ in range(4):
        control.report(float(second), 0.0, 0.1, JITTER_S)
        second += 1
    assert control.settings.bitrate_bps == tried_bps
    control.report(float(second), 0.05, 0.3, JITTER_S)  # half of the first round trip, and three times the path's own
    assert control.settings.bitrate_bps < tried_bps
