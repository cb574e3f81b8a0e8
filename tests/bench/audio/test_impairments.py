"""The emulated network: the same fate for the same packet, and the shares and orders that a row promises."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.audio.impairments import PTIME_S, Fate, Impairment

PACKETS = 20000
SIZE = 100


def walk(impairment: Impairment, packets: int = PACKETS) -> list[list[float]]:
    """The departures of packets that come every 20 ms."""
    fate = Fate(impairment)
    return [fate.departures_s(position, position * PTIME_S, SIZE) for position in range(packets)]


def waits_ms(impairment: Impairment, packets: int = 2000) -> list[float]:
    return [1000 * (leaves[0] - i * PTIME_S) for i, leaves in enumerate(walk(impairment, packets)) if leaves]


def test_a_good_network_passes_every_packet_at_once() -> None:
    assert walk(Impairment(), 300) == [[i * PTIME_S] for i in range(300)]


@pytest.mark.parametrize("burst", [1, 3])
def test_the_share_that_is_lost_and_the_length_of_its_runs(burst: int) -> None:
    lost = [not leaves for leaves in walk(Impairment(loss=0.06, burst_packets=burst))]
    assert sum(lost) / PACKETS == pytest.approx(0.06, abs=0.006)
    runs = "".join("x" if one else " " for one in lost).split()
    assert min(map(len, runs)) == burst
    assert sum(map(len, runs)) / len(runs) == pytest.approx(burst, abs=0.3)


@given(
    seed=st.integers(),
    loss=st.floats(0, 0.5),
    jitter_ms=st.floats(0, 100),
    positions=st.lists(st.integers(0, 5000), max_size=30),
)
def test_a_packets_fate_does_not_depend_on_the_others_nor_on_when_it_comes(
    seed: int, loss: float, jitter_ms: float, positions: list[int]
) -> None:
    impairment = Impairment(loss=loss, jitter_ms=jitter_ms, duplicate=0.1, reorder=0.1, seed=seed)
    asked, anew = Fate(impairment), Fate(impairment)
    for number, position in enumerate(positions):
        first = asked.departures_s(position, 1.0, SIZE)
        again = anew.departures_s(position, 1.0 + number, SIZE)
        assert [one - number for one in again] == pytest.approx(first)
        anew.departures_s(position + 7, 2.0, SIZE)


def test_seeds_differ() -> None:
    assert walk(Impairment(loss=0.1, seed=1), 500) != walk(Impairment(loss=0.1, seed=2), 500)


def test_the_first_packets_pass_unharmed() -> None:
    leaves = walk(Impairment(loss=1.0, jitter_ms=60, first_packet=10), 20)
    assert leaves == [[i * PTIME_S] for i in range(10)] + [[]] * 10


def test_jitter_is_uniform_and_lets_packets_overtake_each_other_unless_in_order() -> None:
    waits = waits_ms(Impairment(jitter_ms=60, first_packet=0), 5000)
    assert 0 <= min(waits) < 1
    assert 59 < max(waits) <= 60
    assert sum(waits) / len(waits) == pytest.approx(30, abs=1)
    free = [one[0] for one in walk(Impairment(jitter_ms=60), 1000)]
    held = [one[0] for one in walk(Impairment(jitter_ms=60, in_order=True), 1000)]
    assert free != sorted(free)
    assert held == sorted(held)


def test_correlated_jitter_keeps_its_value_for_some_packets() -> None:
    waits = waits_ms(Impairment(jitter_ms=60, jitter_hold_packets=5, first_packet=0), 100)
    assert [round(one, 6) for one in waits[:5]] == [round(waits[0], 6)] * 5
    assert round(waits[5], 6) != round(waits[0], 6)


def test_a_stall_holds_what_comes_and_lets_it_go_at_once() -> None:
    leaves = [one[0] for one in walk(Impairment(stall_ms=300, stall_every_ms=6000, first_packet=50), 50 + 300)]
    held = [position for position, one in enumerate(leaves) if one > position * PTIME_S + 1e-9]
    assert held == list(range(335, 350))  # the last 15 packets of the six seconds
    assert [leaves[position] for position in held] == pytest.approx([350 * PTIME_S] * 15)


def test_reordered_and_doubled_packets() -> None:
    waits = waits_ms(Impairment(reorder=0.1, reorder_ms=30))
    assert {round(one) for one in waits} == {0, 30}
    assert sum(one > 1 for one in waits) / len(waits) == pytest.approx(0.1, abs=0.03)
    doubled = [len(one) for one in walk(Impairment(duplicate=0.2), 2000)]
    assert set(doubled) == {1, 2}
    assert doubled.count(2) / 2000 == pytest.approx(0.2, abs=0.03)


def test_a_bottleneck_queues_at_its_rate_and_drops_when_the_queue_is_full() -> None:
    # 100 bytes each 20 ms are 40 kb/s: twice as much as this link passes.
    leaves = walk(Impairment(rate_bps=20000, queue_ms=200, first_packet=0), 500)
    passed = [one[0] for one in leaves if one]
    assert [b - a for a, b in itertools.pairwise(passed)] == pytest.approx([0.04] * (len(passed) - 1))
    assert len(passed) == pytest.approx(250, abs=10)
    late_s = [one[0] - i * PTIME_S for i, one in enumerate(leaves) if one]
    assert max(late_s) <= 0.2 + 0.04 + 1e-9


def test_named_packets_are_lost() -> None:
    lost = [i for i, leaves in enumerate(walk(Impairment(lost_positions=(60, 61)), 100)) if not leaves]
    assert lost == [60, 61]
