"""The far end's recording, echo line and packet counts."""

import time

import numpy as np
import pytest
from aiortc.rtp import RtpPacket

from agent.lab.delay_line import DelayLine
from agent.lab.heard import SILENCE_DBFS, Heard
from agent.lab.packets import PacketCounts
from agent.lab.voice import RATE_HZ

PIECE = np.full(960, 1000, dtype=np.int16)


def test_pieces_follow_each_other_with_their_arrival_times():
    heard = Heard()
    heard.add(PIECE, 5000, 1.0)
    heard.add(PIECE, 5960, 1.02)
    assert np.array_equal(heard.samples, np.tile(PIECE, 2))
    assert heard.arrivals == [(1.0, 0), (1.02, 960)]
    assert heard.seconds == 0.04


def test_missing_time_is_silence_in_its_place_and_not_counted_as_heard():
    heard = Heard()
    heard.add(PIECE, 0, 1.0)
    heard.add(PIECE, 2 * 960, 1.04)
    assert heard.samples.size == 3 * 960
    assert not heard.samples[960:1920].any()
    assert heard.seconds == 0.04


@pytest.mark.parametrize("pts", [10_000_000, 0, -50_000])
def test_a_new_streams_clock_is_joined_on_without_a_gap(pts):
    heard = Heard()
    heard.add(PIECE, 480_000, 1.0)
    heard.add(PIECE, pts, 1.02)
    heard.add(PIECE, pts + 960, 1.04)
    assert np.array_equal(heard.samples, np.tile(PIECE, 3))


def test_the_level_is_that_of_the_last_half_second():
    heard = Heard()
    assert heard.level_dbfs == SILENCE_DBFS
    heard.add(np.full(RATE_HZ, 16384, dtype=np.int16), 0, time.monotonic())
    assert heard.level_dbfs == pytest.approx(-6.02, abs=0.01)
    old = Heard()
    old.add(PIECE, 0, time.monotonic() - 2)
    assert old.level_dbfs == SILENCE_DBFS


def test_the_echo_comes_its_delay_later():
    line = DelayLine(delay_s=0.02)
    line.push(PIECE)
    assert not line.pull(960).any()
    assert np.array_equal(line.pull(960), PIECE)
    assert not line.pull(960).any()


def test_the_echo_never_gets_much_later_than_its_delay():
    line = DelayLine(delay_s=0.02)
    for number in range(50):
        line.push(np.full(960, number, dtype=np.int16))
    assert line.pull(960)[0] >= 46


def packets(numbers, marker=0, ssrc=1):
    return [RtpPacket(sequence_number=number & 0xFFFF, marker=marker, ssrc=ssrc) for number in numbers]


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [(range(10), 0), ([1, 2, 5], 2), ([1, 3, 2, 4], 0), ([65534, 65535, 65536, 65538], 1), ([7], 0)],
)
def test_lost_packets_are_those_that_never_came(numbers, lost):
    counts = PacketCounts()
    for packet in packets(numbers):
        counts.add(packet)
    assert counts.lost == lost


def test_a_second_stream_starts_its_own_count():
    counts = PacketCounts()
    for packet in [*packets([1, 2]), *packets([900, 901], ssrc=2)]:
        counts.add(packet)
    assert (counts.lost, counts.ssrcs) == (0, {1, 2})


def test_marker_bits_of_talk_spurts_are_fine_and_on_all_packets_are_not():
    spurts, every = PacketCounts(), PacketCounts()
    for packet in packets(range(100)):
        packet.marker = int(packet.sequence_number % 25 == 0)
        spurts.add(packet)
    for packet in packets(range(100), marker=1):
        every.add(packet)
    assert not spurts.would_flush
    assert every.would_flush
