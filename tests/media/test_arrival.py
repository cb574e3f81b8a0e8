"""How long packets are to be kept waiting, by how late they come."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.media.arrival import BINS, ArrivalDelays

FRAME, LEAST, MOST = 960, 120, 9600


def delays(lateness_s: list[float], *, ppm: float = 0.0, first: int = 0xFFFF0000) -> list[float]:
    """The target in ms after each packet."""
    arrivals, targets = ArrivalDelays(LEAST, MOST), []
    for number, late_s in enumerate(lateness_s):
        sent_s = 5.0 + number * 0.02 * (1 + ppm * 1e-6)
        arrivals.packet(first + number * FRAME & 0xFFFFFFFF, sent_s + late_s, FRAME)
        targets.append(arrivals.target_frames / 48)
    return targets


def test_packets_in_time_ask_for_the_least() -> None:
    assert max(delays([0.0] * 500)) <= 3.0


@pytest.mark.parametrize("ppm", [-300.0, 300.0])
def test_a_clock_that_drifts_is_no_growing_delay(ppm: float) -> None:
    assert max(delays([0.0] * 30000, ppm=ppm)) <= 5.0


def test_a_jittering_network_is_followed_at_once_up_and_slowly_down() -> None:
    chance = random.Random(1)
    jittery = [chance.random() * 0.06 for _ in range(500)]
    targets = delays([0.0] * 500 + jittery + [0.0] * 1500)
    assert 50 <= targets[999] <= 65
    assert targets[500 + 50] >= 40  # after a second
    fall = [before - after for before, after in pairwise(targets[1000:])]
    assert max(fall) <= 0.41  # of 20 ms a second, a packet
    assert targets[-1] <= 5.0


def test_a_network_that_stood_still_once_is_not_waited_for() -> None:
    stall = [0.3 - 0.02 * number for number in range(15)]
    targets = delays([0.0] * 300 + stall + [0.0] * 300)
    assert max(targets) <= 5.0


def test_a_longer_way_is_not_jitter() -> None:
    targets = delays([0.0] * 300 + [0.08] * 600)
    assert targets[-1] <= 5.0
    assert delays([0.08] * 300 + [0.0] * 500)[-1] <= 5.0


@pytest.mark.parametrize("most_s", [0.03, 0.06])
def test_what_made_packets_late_while_the_call_was_set_up_is_forgotten_soon(most_s: float) -> None:
    chance = random.Random(1)
    targets = delays([chance.random() * most_s * (chance.random() < 0.3) for _ in range(50)] + [0.0] * 250)
    assert max(targets) >= 500 * most_s  # it was followed
    assert max(targets[round(2.5 / 0.02) :]) <= 5.0
    later = delays([0.0] * 500 + [chance.random() * most_s * (chance.random() < 0.3) for _ in range(50)] + [0.0] * 250)
    assert later[500 + round(2.5 / 0.02)] >= 200 * most_s  # in the middle of a call it is the network's


def test_a_network_that_jitters_from_the_start_is_waited_for_all_along() -> None:
    chance = random.Random(1)
    assert min(delays([chance.random() * 0.06 for _ in range(1000)])[25:]) >= 40


def test_another_stream_in_the_call_keeps_what_was_learnt_of_the_network() -> None:
    chance = random.Random(1)
    arrivals, targets = ArrivalDelays(LEAST, MOST), []
    for number in range(1000):
        if number == 500:  # the answer's own stream after early media, a transfer
            arrivals.restart()
        late_s = 0.05 * (chance.random() < 0.06)
        arrivals.packet(number * FRAME, 5.0 + number * 0.02 + late_s, FRAME)
        targets.append(arrivals.target_frames / 48)
    assert min(targets[500:]) >= 50


def test_the_age_counts_from_the_fastest_packet() -> None:
    arrivals = ArrivalDelays(LEAST, MOST)
    for number in range(100):
        arrivals.packet(number * FRAME, 1.0 + number * 0.02 + (0.01 if number % 2 else 0.0), FRAME)
    assert arrivals.age_frames(100 * FRAME, 1.0 + 100 * 0.02 + 0.015) == pytest.approx(720, abs=48)


def test_a_clock_that_was_set_anew_begins_anew() -> None:
    arrivals = ArrivalDelays(LEAST, MOST)
    for number in range(100):
        arrivals.packet(number * FRAME, number * 0.02, FRAME)
    arrivals.packet(3_000_000_000, 2.0, FRAME)
    assert arrivals.age_frames(3_000_000_000, 2.005) == pytest.approx(240, abs=48)
    assert arrivals.target_frames <= 240


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.floats(0, 1e6), st.integers(0, 5760)), max_size=60))
def test_any_packets_keep_the_target_between_its_limits(packets: list[tuple[int, float, int]]) -> None:
    arrivals = ArrivalDelays(LEAST, MOST)
    for timestamp, arrival_s, frames in packets:
        arrivals.packet(timestamp, arrival_s, frames)
        assert LEAST <= arrivals.target_frames <= MOST
        assert 0 < arrivals.jitter_frames <= BINS * 48
        assert sum(arrivals._bins) == pytest.approx(arrivals._total)
