"""The receive path as a whole on a virtual clock: long calls, other codecs on the way, two channels, the figures."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.media import counters, rtp
from agent.media.codecs.agreed import make_encoder
from agent.media.counters import Counters, Totals
from agent.media.engine import Engine
from agent.media.messages import OpusSetup
from tests.media.call_model import (
    LATENCY_S,
    PERIOD_FRAMES,
    PERIOD_S,
    RATE_HZ,
    Conversation,
    End,
    Samples,
    Wire,
    delay_frames,
    end,
    far_session,
    page,
    speak,
    speech,
    transport,
)

PACKET_S = 0.02
CALL_S = 600


def packets_of(codec: str, microphone: Samples) -> list[bytes]:
    encoder = make_encoder(codec, OpusSetup(packet_loss_percent=10), RATE_HZ, headroom=0)
    packets = []
    for at in range(0, len(microphone) - 959, 960):
        encoder.samples[:] = microphone[at : at + 960].tobytes()
        packets.append(bytes(encoder.packet[: encoder.encode()]))
    return packets


def faulty_ten_minutes() -> list[tuple[float, int]]:
    """When each packet of a call comes: a clock 150 ppm fast, then jitter, loss, bursts, copies, stalls, a new way."""
    chance = random.Random(11)
    arrivals = []
    for number in range(round(CALL_S / PACKET_S)):
        sent_s = number * PACKET_S * (1 - 150e-6)
        minute = sent_s / 60
        delay_s = 0.03 if minute < 7 else 0.08
        if 1 <= minute < 2:
            delay_s += chance.random() * 0.05
        if 2 <= minute < 3 and chance.random() < 0.05:
            continue
        if 3 <= minute < 4 and number % 50 in {7, 8, 9}:
            continue
        if 5 <= minute < 6 and number % 500 > 490:
            delay_s = 0.03 + (500 - number % 500) * PACKET_S
        arrivals += [(sent_s + delay_s, number)] * (1 + (4 <= minute < 5 and number % 3 == 0))
    return sorted(arrivals)


def test_ten_minutes_with_drift_and_faults_are_gapless_and_end_without_delay() -> None:
    sounds = packets_of("opus", speech(4.0))
    side, session = end(0), far_session()
    assert side.engine._receiver is not None
    jitter = side.engine._receiver.jitter
    protected: dict[int, bytes] = {}
    arrivals, played, ages = faulty_ten_minutes(), [], {}
    pull = jitter.pull

    def noting(now_s: float, queued_frames: int = 0) -> tuple[object, bytes, int]:
        pulled = pull(now_s, queued_frames)
        if pulled[0].name == "PACKET":
            number = jitter._next_timestamp // 960 - 1
            played.append(number)
            ages[number] = now_s - number * PACKET_S * (1 - 150e-6)
        return pulled

    jitter.pull = noting  # type: ignore[assignment]
    at, tick, silence = 0, 0, bytes(2 * PERIOD_FRAMES)
    while (tick + 1) * PERIOD_S < CALL_S * (1 - 150e-6):
        tick += 1
        while at < len(arrivals) and arrivals[at][0] <= tick * PERIOD_S:
            arrival_s, number = arrivals[at]
            if number not in protected:
                data = rtp.pack(
                    sounds[number % len(sounds)], payload_type=111, sequence=60000 + number, timestamp=number * 960,
                    ssrc=1001,
                )  # fmt: skip
                protected[number] = session.protect(data)
            side.wire.arriving.append((arrival_s, protected[number]))
            at += 1
        side.wire.now_s = tick * PERIOD_S
        side.wire.sent.clear()
        assert len(side.engine.tick(silence, tick * PERIOD_S)) == len(silence)
        assert jitter.ring.count <= 64
    stats = side.engine.stats(tick * PERIOD_S)
    assert played == sorted(set(played))
    assert stats.packets_lost == pytest.approx(CALL_S / PACKET_S - len(protected), abs=5)  # some are on their way
    assert stats.packets_dropped <= 5
    assert stats.concealed_frames < 1.5 * stats.packets_lost + 150
    quiet = [age for number, age in ages.items() if number < 2900]
    assert max(quiet) - 0.03 <= 0.0201  # drift alone: the delay never grows, although 6 ms a minute come too fast
    assert ages[played[-1]] - 0.08 <= 0.0251
    assert max(ages.values()) - 0.08 < 0.4
    assert stats.removed_frames > 0


@pytest.mark.parametrize("ppm", [-300, 300])
def test_drift_is_taken_out_of_the_sound_and_nothing_is_lost(ppm: int) -> None:
    """Two minutes, 36 ms of drift."""
    sounds = packets_of("opus", speech(4.0))
    side, session = end(0), far_session()
    count = 6000
    for number in range(count):
        sound = sounds[number % len(sounds)]
        data = rtp.pack(sound, payload_type=111, sequence=number, timestamp=number * 960, ssrc=1001)
        side.wire.arriving.append((0.01 + number * PACKET_S * (1 - ppm * 1e-6), session.protect(data)))
    speak(side.engine, side.wire, np.zeros(round(count * PACKET_S * (1 - ppm * 1e-6) * RATE_HZ), np.int16))
    stats = side.engine.stats(120.0)
    assert (stats.packets_dropped, stats.packets_late, stats.packets_lost) == (0, 0, 0)
    assert stats.concealed_frames <= 2
    drifted = ppm * 1e-6 * count * 960
    assert stats.removed_frames - stats.inserted_frames == pytest.approx(drifted, abs=1200)
    assert 0 < stats.playout_delay_ms <= 28


def test_a_change_of_the_payload_type_changes_the_decoder_without_a_gap() -> None:
    voice = speech(3.0)
    by_codec = {"opus": packets_of("opus", voice), "pcmu": packets_of("pcmu", voice)}
    setup = transport(0, other_codecs={"pcmu": 0})
    side, session, start = end(0, setup), far_session(), 123456
    codecs = ["opus"] * 50 + ["pcmu"] * 50 + ["opus"] * 50
    for number, codec in enumerate(codecs):
        timestamp = start + number * 960 if codec == "opus" else 777 + number * 160
        data = rtp.pack(
            by_codec[codec][number], payload_type=111 if codec == "opus" else 0, sequence=65500 + number,
            timestamp=timestamp, ssrc=1001,
        )  # fmt: skip
        side.wire.deliver(session.protect(data), 0.0031 + number * PACKET_S)
    heard = []
    for tick in range(1, 300):
        side.wire.now_s = tick * PERIOD_S
        heard.append(side.engine.tick(bytes(2 * PERIOD_FRAMES), tick * PERIOD_S))
    sound = np.frombuffer(b"".join(heard), np.int16)
    stats = side.engine.stats(3.0)
    assert (stats.packets_lost, stats.concealed_frames, stats.packets_dropped) == (0, 0, 0)
    first = delay_frames(voice, sound, 0.3)[0]
    for probe_s in (0.3, 1.2, 1.5, 2.2, 2.5):
        delay, likeness = delay_frames(voice, sound, probe_s, 0.3)
        assert likeness > 0.95
        assert abs(delay - first) < 0.01 * RATE_HZ


def test_packets_without_a_payload_keep_the_way_open_and_are_no_loss() -> None:
    """RFC 6263 4.2: they take a sequence number and no time."""
    coded = packets_of("opus", speech(3.0))

    def heard(every: int) -> tuple[bytes, int, float]:
        side, session, sequence = end(0, transport(0)), far_session(), 65500
        for number, payload in enumerate(coded):
            for data in ([b""] if number % every == every - 1 else []) + [payload]:
                packet = rtp.pack(data, payload_type=111, sequence=sequence, timestamp=number * 960, ssrc=1001)
                side.wire.deliver(session.protect(packet), 0.0031 + number * PACKET_S)
                sequence += 1
        sound = listened(side)
        stats = side.engine.stats(3.0)
        return sound, stats.packets_lost + stats.concealed_frames, stats.playout_delay_ms

    assert heard(every=10) == heard(every=1000)


OURS, OTHER = 1001, 77


@pytest.mark.parametrize("others", ["one stray packet", "every second packet"])
def test_the_voice_goes_on_whatever_another_source_sends_in_between(others: str) -> None:
    coded = packets_of("opus", speech(3.0))

    def heard(*, disturbed: bool) -> bytes:
        # Packets wait, so that there is something to lose.
        side, session = end(0, transport(0, jitter_min_ms=60)), far_session()
        for number, payload in enumerate(coded):
            sources = [OURS, OTHER] if disturbed and (number == 60 or others.startswith("every")) else [OURS]
            for ssrc in sources:
                data = payload if ssrc == OURS else coded[0]
                packet = rtp.pack(data, payload_type=111, sequence=number, timestamp=number * 960, ssrc=ssrc)
                side.wire.deliver(session.protect(packet), 0.0031 + number * PACKET_S)
        return listened(side)

    assert heard(disturbed=True) == heard(disturbed=False)


def test_another_source_that_goes_on_is_heard_from_its_first_packet() -> None:
    voice = speech(3.0)
    side, session = end(0, transport(0)), far_session()
    for number, payload in enumerate(packets_of("opus", voice)):
        place = (number, number * 960, OURS) if number < 75 else (900 + number, 5_000_000 + number * 960, OTHER)
        packet = rtp.pack(payload, payload_type=111, sequence=place[0], timestamp=place[1], ssrc=place[2])
        side.wire.deliver(session.protect(packet), 0.0031 + number * PACKET_S)
    sound = np.frombuffer(listened(side), np.int16)
    stats = side.engine.stats(3.0)
    assert (stats.packets_received, stats.stream_restarts) == (150, 1)
    first = delay_frames(voice, sound, 0.5)[0]
    for probe_s in (1.0, 1.55, 2.4):  # at 1.5 s it changes
        delay, likeness = delay_frames(voice, sound, probe_s, 0.3)
        assert likeness > 0.9
        assert abs(delay - first) <= 0.02 * RATE_HZ


@pytest.mark.parametrize("between", [3, 1001])
def test_another_source_is_believed_only_when_nothing_came_in_between(between: int) -> None:
    side, session = end(0, transport(0)), far_session()
    for number, ssrc in enumerate([OURS, OURS, OTHER, between, OTHER, between, OTHER, OTHER]):
        packet = rtp.pack(bytes(20), payload_type=111, sequence=number, timestamp=number * 960, ssrc=ssrc)
        side.wire.deliver(session.protect(packet), 0.0031 + number * PACKET_S)
    receiver = side.engine._receiver
    assert receiver is not None
    sources = []
    for tick in range(1, 20):
        side.wire.now_s = tick * PERIOD_S
        side.engine.tick(bytes(2 * PERIOD_FRAMES), tick * PERIOD_S)
        sources += [receiver.ssrc] if receiver.ssrc not in sources[-1:] else []
    assert sources == [OURS, OTHER]
    assert side.engine.stats(0.2).stream_restarts == 1
    assert receiver.reception is not None
    assert receiver.reception.received == 2  # the one that was waited for, and the one before it


def listened(side: End) -> bytes:
    """Somewhat more than three seconds of what the speaker gets."""
    periods = []
    for tick in range(1, 310):
        side.wire.now_s = tick * PERIOD_S
        periods.append(side.engine.tick(bytes(2 * PERIOD_FRAMES), tick * PERIOD_S))
    return b"".join(periods)


def test_two_channels_are_heard_in_each_ear() -> None:
    voice = speech(1.5)
    stereo = np.stack((voice, np.zeros_like(voice)), axis=1).reshape(-1)
    encoder = make_encoder("opus", OpusSetup(channels=2, bitrate_bps=64000), RATE_HZ, 0, 2)
    wire, session = Wire(), far_session()
    engine = Engine(RATE_HZ, PERIOD_FRAMES, page(), lambda *_: None, channels=2)
    engine.connect(transport(0), bytes(8), wire, 0.0)
    for number in range(70):
        encoder.samples[:] = stereo[number * 1920 : (number + 1) * 1920].tobytes()
        data = rtp.pack(
            bytes(encoder.packet[: encoder.encode()]), payload_type=111, sequence=number, timestamp=number * 960,
            ssrc=1001,
        )  # fmt: skip
        if number != 40:
            wire.deliver(session.protect(data), 0.0031 + number * PACKET_S)
    heard = []
    for tick in range(1, 140):
        wire.now_s = tick * PERIOD_S
        heard.append(engine.tick(bytes(4 * PERIOD_FRAMES), tick * PERIOD_S))
    assert {len(period) for period in heard} == {4 * PERIOD_FRAMES}
    sound = np.frombuffer(b"".join(heard), np.int16).astype(float)
    left, right = sound[::2], sound[1::2]
    assert delay_frames(voice, left.astype(np.int16), 0.3)[1] > 0.9
    assert (right**2).mean() < 0.02 * (left**2).mean()


def test_the_figures_say_how_long_sound_waits_and_survive_the_process() -> None:
    fd = counters.create()
    call = Conversation()
    call.run(speech(2.0))
    stats = call.listener.engine.stats(call.now_s)
    assert 10.0 <= stats.playout_delay_ms <= 18.5
    assert stats.jitter_target_ms == pytest.approx(18, abs=1)
    assert stats.jitter_buffer_emitted_frames == pytest.approx(2.0 * RATE_HZ, abs=1920)
    mean_ms = 1000 * stats.jitter_buffer_delay_s / stats.jitter_buffer_emitted_frames
    assert mean_ms == pytest.approx(stats.playout_delay_ms, abs=0.2)
    shared = Counters(fd)
    os.close(fd)
    totals = Totals(removed_frames=7, inserted_frames=8, jitter_buffer_delay_ms=9, jitter_buffer_emitted_frames=10)
    shared.save(totals)
    assert shared.load() == totals


@pytest.mark.parametrize("ptime_ms", [10, 20])
def test_an_undisturbed_stack_delays_by_less_than_the_issue_asks_for(ptime_ms: int) -> None:
    voice = speech(2.0)
    call = Conversation(opus=replace(OpusSetup(), ptime_ms=ptime_ms, adapt=False, packet_loss_percent=0))
    heard = call.run(voice)
    delay, likeness = delay_frames(voice, heard, 1.0)
    assert likeness > 0.95
    filling_ms = ptime_ms - 10  # of the packet: the virtual microphone's first period is here at its end
    assert delay / 48 - 1000 * LATENCY_S - filling_ms <= {10: 19, 20: 28}[ptime_ms]


UNDISTURBED = 50  # packets at the end, a second of them
arrivals = st.lists(
    st.tuples(
        st.integers(0, 90),  # which packet
        st.booleans(),  # twice
        st.integers(0, 6),  # periods that pass afterwards
    ),
    max_size=120,
)


@settings(max_examples=30, deadline=None)
@given(arrivals, st.integers(0, 65535), st.randoms(use_true_random=False))
def test_any_packets_in_any_order_give_whole_periods_in_time(
    order: list[tuple[int, bool, int]], first: int, chance: random.Random
) -> None:
    # Who joins a stream behind a wrap cannot know of it, and nothing authenticates (RFC 3711 3.3.1).
    assume(first + (order[0][0] if order else 91) <= 0xFFFF)
    sound = packets_of("opus", np.zeros(960, np.int16))[0]
    side, session, tick = end(0, transport(0, other_codecs={"pcmu": 0})), far_session(), 0
    packets = [
        session.protect(
            rtp.pack(
                sound, payload_type=payload_type, sequence=first + number,
                timestamp=number * (160 if payload_type == 0 else 960), ssrc=1001,
            )
        )
        for number, payload_type in enumerate(
            chance.choices([111, 0, 13, 101], [8, 2, 1, 1], k=91) + [111] * UNDISTURBED
        )
    ]  # fmt: skip
    receiver = side.engine._receiver
    assert receiver is not None
    played: list[int] = []
    pull = receiver.jitter.pull

    def noting(now_s: float, queued_frames: int = 0) -> tuple[object, bytes, int]:
        pulled = pull(now_s, queued_frames)
        if pulled[0].name == "PACKET" and played[-1:] != [receiver.jitter.ring.next]:  # `pull` may call itself
            played.append(receiver.jitter.ring.next)
        return pulled

    receiver.jitter.pull = noting  # type: ignore[assignment]
    for number, twice, periods in order + [(number, False, 2) for number in range(91, len(packets))]:
        for _ in range(1 + twice):
            side.wire.arriving.append((tick * PERIOD_S, packets[number]))
        for _ in range(periods):
            tick += 1
            side.wire.now_s = tick * PERIOD_S
            assert len(side.engine.tick(bytes(2 * PERIOD_FRAMES), tick * PERIOD_S)) == 2 * PERIOD_FRAMES
    assert receiver.jitter.ring.count <= 64
    assert rtp.sequence_delta(first + len(packets), played[-1]) <= UNDISTURBED / 2  # whatever came, it goes on playing
    if not receiver.jitter.ring.restarts:
        steps = [rtp.sequence_delta(new, old) for old, new in pairwise(played)]
        assert steps
        assert all(step > 0 for step in steps)
