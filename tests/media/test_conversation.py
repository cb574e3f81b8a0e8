"""What is heard at the other end of networks that lose, delay, double and reorder, with the whole chain in between."""

import random

import numpy as np
import pytest

from agent.media.messages import OpusSetup
from tests.media.call_model import (
    LATENCY_S,
    PERIOD_FRAMES,
    RATE_HZ,
    Conversation,
    Network,
    Samples,
    delay_frames,
    perfect,
    speech,
)

LOOKAHEAD_FRAMES = 312  # of libopus: 6.5 ms
FRAMING_FRAMES = PERIOD_FRAMES  # the first of a frame's two periods waits for the second
PROBES_S = (0.5, 1.0, 1.7, 2.4, 3.1)
LATE_FRAMES = 480  # delay that may remain after a late packet: less than one packet


@pytest.fixture(scope="module")
def voice() -> Samples:
    return speech(4.0)


@pytest.fixture(scope="module")
def undisturbed(voice: Samples) -> Samples:
    return Conversation().run(voice)


with_fec = OpusSetup(packet_loss_percent=10, adapt=False)  # for less libopus puts no FEC into 32 kbit/s


def losing(*numbers: int) -> Network:
    return lambda number, sent_s: [] if number in numbers else [sent_s + LATENCY_S]


def test_the_voice_arrives_whole_and_the_buffer_adds_at_most_20_ms(voice: Samples, undisturbed: Samples) -> None:
    for probe_s in PROBES_S:
        delay, likeness = delay_frames(voice, undisturbed, probe_s)
        assert likeness > 0.95
        assert 0 < delay - LOOKAHEAD_FRAMES - FRAMING_FRAMES <= 0.020 * RATE_HZ


def test_one_lost_packet_costs_at_most_one_concealed_frame_and_no_delay(voice: Samples) -> None:
    call = Conversation(losing(90), with_fec)
    heard, undisturbed = call.run(voice), Conversation(opus=with_fec).run(voice)
    stats = call.listener.engine.stats(call.now_s)
    assert (stats.packets_lost, stats.fec_frames) == (1, 1)
    assert stats.concealed_frames <= 1
    differs = np.flatnonzero(heard != undisturbed)
    assert 0 < differs.max() - differs.min() < 0.2 * RATE_HZ  # the decoder's state converges again
    at = int((90 * 0.02 + 0.4) * RATE_HZ)
    assert np.array_equal(heard[at:], undisturbed[at:])


def test_three_lost_packets_in_a_row_leave_the_timeline_alone(voice: Samples) -> None:
    call = Conversation(losing(90, 91, 92), with_fec)
    heard, undisturbed = call.run(voice), Conversation(opus=with_fec).run(voice)
    stats = call.listener.engine.stats(call.now_s)
    assert (stats.packets_lost, stats.concealed_frames, stats.fec_frames) == (3, 2, 1)
    assert delay_frames(voice, heard, 3.1)[0] == delay_frames(voice, undisturbed, 3.1)[0]


@pytest.mark.parametrize("ptime_ms", [40, 60])
def test_long_packets_bring_back_the_last_frame_of_the_one_that_was_lost(voice: Samples, ptime_ms: int) -> None:
    """At 32 kbit/s libopus makes two and three Opus frames of them, of which the first one's FEC counts."""
    lost = range(10, 3000 // ptime_ms, 10)

    def heard(network: Network, fec_percent: int) -> tuple[Samples, int]:
        opus = OpusSetup(ptime_ms=ptime_ms, packet_loss_percent=fec_percent, adapt=False)
        call = Conversation(network, opus, jitter_min_ms=2 * ptime_ms)
        return call.run(voice), call.listener.engine.stats(call.now_s).fec_frames

    def error(fec_percent: int) -> float:
        sound, rebuilt = heard(losing(*lost), fec_percent)
        whole, _ = heard(perfect, fec_percent)
        assert (rebuilt >= len(lost) / 2) == (fec_percent > 0)  # in pauses there is nothing to send twice
        return float(np.mean((sound.astype(float) - whole) ** 2))

    assert error(10) < 0.8 * error(0)


def test_five_percent_random_loss_keeps_the_voice(voice: Samples, undisturbed: Samples) -> None:
    chance = random.Random(7)
    call = Conversation(lambda _, sent_s: [] if chance.random() < 0.05 else [sent_s + LATENCY_S])
    heard = call.run(voice)
    stats = call.listener.engine.stats(call.now_s)
    assert stats.packets_lost > 3
    assert stats.concealed_frames <= stats.packets_lost
    likenesses = []
    for probe_s in PROBES_S:
        delay, likeness = delay_frames(voice, heard, probe_s)
        grown = delay - delay_frames(voice, undisturbed, probe_s)[0]
        assert -2 <= grown <= 720 + 2  # 15 ms: to where the successor of a lost packet is here in time
        likenesses.append(likeness)
    assert np.median(likenesses) > 0.8


def test_reordered_and_doubled_packets_are_heard_as_if_nothing_happened(voice: Samples, undisturbed: Samples) -> None:
    def network(number: int, sent_s: float) -> list[float]:
        return [sent_s + LATENCY_S + (0.0195 if number % 9 == 4 else 0.0)] * (1 + number % 2)

    call = Conversation(network, jitter_min_ms=40)
    heard = call.run(voice)
    stats = call.listener.engine.stats(call.now_s)
    assert (stats.packets_lost, stats.concealed_frames, stats.packets_late, stats.fec_frames) == (0, 0, 0, 0)
    assert stats.packets_duplicated > 50  # SRTP refuses the copies as replays
    assert stats.auth_failures == 0
    for probe_s in PROBES_S:
        assert delay_frames(voice, heard, probe_s)[1] > 0.95
    plain = Conversation(perfect, jitter_min_ms=40).run(voice)
    assert np.array_equal(heard, plain)


def test_a_late_packet_leaves_less_than_a_packet_of_delay(voice: Samples, undisturbed: Samples) -> None:
    call = Conversation(lambda number, sent_s: [sent_s + (0.05 if number == 60 else LATENCY_S)])
    heard = call.run(voice)
    assert call.listener.engine.stats(call.now_s).concealed_frames <= 2
    grown = delay_frames(voice, heard, 3.1)[0] - delay_frames(voice, undisturbed, 3.1)[0]
    assert 0 <= grown <= LATE_FRAMES


def test_a_network_that_stood_still_leaves_no_delay() -> None:
    voice = speech(6.0)

    def network(number: int, sent_s: float) -> list[float]:
        return [max(sent_s + LATENCY_S, 1.6) if sent_s > 1.0 else sent_s + LATENCY_S]

    call = Conversation(network)
    heard = call.run(voice)
    grown = delay_frames(voice, heard, 5.0)[0] - delay_frames(voice, Conversation().run(voice), 5.0)[0]
    assert 0 <= grown <= LATE_FRAMES
    assert call.listener.engine.stats(call.now_s).packets_dropped > 20


def test_dtx_pauses_are_neither_loss_nor_delay() -> None:
    voice = speech(1.2)
    pause = np.random.default_rng(3).normal(0, 3, 2 * RATE_HZ).astype(np.int16)
    call = Conversation(opus=OpusSetup(dtx=True))
    microphone = np.concatenate((voice, pause, voice))
    heard = call.run(microphone)
    stats = call.listener.engine.stats(call.now_s)
    assert call.numbers < 0.75 * len(microphone) / RATE_HZ * 50
    assert (stats.packets_lost, stats.concealed_frames, stats.fec_frames) == (0, 0, 0)
    assert delay_frames(microphone, heard, 3.5)[0] - delay_frames(microphone, heard, 0.5)[0] <= LATE_FRAMES
    assert delay_frames(microphone, heard, 3.5)[1] > 0.95


def test_jitter_and_round_trip_are_those_of_the_network(voice: Samples) -> None:
    call = Conversation(lambda number, sent_s: [sent_s + LATENCY_S + (0.004 if number % 2 else 0.0)])
    call.run(voice)
    listener, talker = call.listener.engine.stats(call.now_s), call.talker.engine.stats(call.now_s)
    assert listener.jitter_ms == pytest.approx(4.0, abs=0.3)
    for stats in (listener, talker):
        assert stats.round_trip_ms is None or stats.round_trip_ms == pytest.approx(2 * 1000 * LATENCY_S, abs=0.5)
    assert listener.round_trip_ms is not None or talker.round_trip_ms is not None


@pytest.mark.parametrize("way_ms", range(0, 20, 2))
def test_wake_ups_that_come_in_pairs_do_not_make_the_sound_shorter_and_longer_in_turns(way_ms: int) -> None:
    """A slow processor is busy with each packet of 20 ms, so that it is late for every second period."""
    quiet = np.random.default_rng(1).normal(0, 10, 6 * RATE_HZ).astype(np.int16)
    call = Conversation(lambda _number, sent_s: [sent_s + way_ms / 1000])
    call.late_s = lambda period: 0.008 * (period % 2)
    call.run(quiet[: 2 * RATE_HZ])
    before = call.listener.engine.stats(call.now_s)
    call.run(quiet[2 * RATE_HZ :])
    stats = call.listener.engine.stats(call.now_s)
    assert (stats.inserted_frames, stats.removed_frames) == (before.inserted_frames, before.removed_frames)
    assert stats.concealed_frames == before.concealed_frames
    assert stats.playout_delay_ms <= 30
