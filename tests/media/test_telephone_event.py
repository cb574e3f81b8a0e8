"""RFC 4733: digits as RTP events, on the wire and out of hostile or lossy streams."""

import struct
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.media import rtp
from agent.media.messages import OpusSetup
from agent.media.srtp import SrtpSession
from agent.media.telephone_event import DIGITS, MAX_QUEUED_DIGITS, EventReceiver, EventSender, check
from tests.media.call_model import (
    LATENCY_S,
    PERIOD_FRAMES,
    PERIOD_S,
    RATE_HZ,
    Conversation,
    End,
    end,
    is_rtp,
    keys,
    speech,
    transport,
)

EVENT, AUDIO = 101, 111
END, FRAMES_20_MS = 0x80, 960


def run(side: End, seconds: float, start_s: float = 0.0) -> float:
    voice, now_s = speech(seconds), start_s
    for at in range(0, len(voice) - PERIOD_FRAMES + 1, PERIOD_FRAMES):
        now_s += PERIOD_S
        side.wire.now_s = now_s
        side.engine.tick(voice[at : at + PERIOD_FRAMES].tobytes(), now_s)
    return now_s


def sent_packets(side: End) -> list[tuple[int, bool, int, int, bytes]]:
    """Payload type, marker, sequence number, timestamp, payload of all that was sent."""
    session, found = SrtpSession(keys(1), 1001), []
    for data in filter(is_rtp, side.wire.sent):
        packet = session.unprotect(data)
        _, second, sequence, timestamp, _ = rtp.unpack_header(packet)
        found.append((second & 0x7F, bool(second & rtp.MARKER), sequence, timestamp, rtp.payload_of(packet)))
    return found


def test_a_digit_takes_the_place_of_audio_in_one_stream() -> None:
    side = end(0, transport(0, dtmf_payload_type=EVENT))
    now_s = run(side, 0.1)
    side.engine.send_digits("5#")
    run(side, 0.8, now_s)
    packets = sent_packets(side)
    assert all(rtp.sequence_delta(new[2], old[2]) == 1 for old, new in pairwise(packets))
    events = [packet for packet in packets if packet[0] == EVENT]
    starts = sorted({packet[3] for packet in events}, key=lambda at: (at - packets[0][3]) & 0xFFFFFFFF)
    assert len(starts) == 2
    assert rtp.timestamp_delta(starts[1], starts[0]) == (160 + 80) * 48
    for start, code in zip(starts, (5, 11), strict=True):
        one = [packet for packet in events if packet[3] == start]
        fields = [struct.unpack("!BBH", packet[4]) for packet in one]
        assert [field[0] for field in fields] == [code] * 10
        assert [field[2] for field in fields] == [min(number, 8) * FRAMES_20_MS for number in range(1, 11)]
        assert [field[1] for field in fields] == [10] * 7 + [END | 10] * 3
        assert [packet[1] for packet in one] == [True] + [False] * 9
    # Audio: nothing while events are sent, then the timestamp as if it had gone on, and a new talk spurt.
    audio = [packet for packet in packets if packet[0] == AUDIO]
    jumps = [(rtp.timestamp_delta(new[3], old[3]), new[1]) for old, new in pairwise(audio)]
    assert jumps.count((11 * FRAMES_20_MS, True)) == 2
    assert [jump for jump in jumps if jump[0] != FRAMES_20_MS] == [(11 * FRAMES_20_MS, True)] * 2
    first_after = next(packet for packet in packets if packet[0] == AUDIO and packet[3] != audio[0][3] and packet[1])
    assert rtp.timestamp_delta(first_after[3], starts[0]) == 200 * 48
    stats = side.engine.stats(1.0)
    assert (stats.dtmf_sent, stats.packets_sent) == (2, len(packets))


def test_g711_counts_durations_in_its_own_clock_and_60_ms_packets_work() -> None:
    setup = replace(transport(0, codec="pcma", dtmf_payload_type=EVENT), opus=OpusSetup(ptime_ms=60))
    side = end(0, setup)
    side.engine.send_digits("D")
    run(side, 0.6)
    events = [struct.unpack("!BBH", packet[4]) for packet in sent_packets(side) if packet[0] == EVENT]
    assert events == [(15, 10, 480), (15, 10, 960), *[(15, END | 10, 1440)] * 3]


def test_without_telephone_event_nothing_but_audio_is_sent() -> None:
    side = end(0)
    side.engine.send_digits("1")
    run(side, 0.3)
    assert {packet[0] for packet in sent_packets(side)} == {AUDIO}


def test_the_queue_is_bounded() -> None:
    sender = EventSender(20, 48000)
    sender.add("1" * (MAX_QUEUED_DIGITS + 50))
    sender.add("2")
    digits = 0
    while sender.busy:
        assert sender.digit == "1"
        event = sender.next_packet()
        digits += event is not None and event.begins
    assert digits == MAX_QUEUED_DIGITS


def test_digits_are_checked() -> None:
    assert check("12ab*#") == "12AB*#"
    with pytest.raises(ValueError, match="'X' is no key"):
        check("1x")


class Heard(Conversation):
    """A conversation whose talker may send digits; `digits` are those that the listener was told of."""

    def __init__(self, **options) -> None:
        types = {"dtmf_payload_type": EVENT, "remote_dtmf_payload_type": EVENT}
        super().__init__(**options, **types)
        codec = options.get("codec", "opus")
        self.talker = end(0, transport(0, codec=codec, **types))
        self.digits: list[tuple[str, str]] = []
        receiver = self.listener.engine._receiver
        assert receiver is not None
        receiver._on_dtmf = lambda digit, source: self.digits.append((digit, source))


@pytest.mark.parametrize("codec", ["opus", "pcmu"])
def test_every_digit_is_told_once_and_its_gap_in_the_audio_is_no_loss(codec: str) -> None:
    call = Heard(codec=codec)
    call.run(speech(0.5))
    call.talker.engine.send_digits("1122*")
    call.run(speech(2.0))
    assert call.digits == [(digit, "rfc4733") for digit in "1122*"]
    stats = call.listener.engine.stats(call.now_s)
    assert (stats.concealed_frames, stats.fec_frames, stats.packets_lost, stats.packets_dropped) == (0, 0, 0, 0)
    assert stats.dtmf_received == 5
    assert stats.jitter_ms < 1


def test_the_far_end_is_silent_while_it_presses_and_heard_without_more_delay_afterwards() -> None:
    call = Heard()
    call.run(speech(0.5))
    call.talker.engine.send_digits("7")
    heard = call.run(speech(0.5))
    during = heard[int(0.56 * RATE_HZ) : int(0.68 * RATE_HZ)]
    assert not during.any()
    assert np.abs(heard[int(0.76 * RATE_HZ) :]).max() > 1000
    jitter_ms = call.listener.engine.stats(call.now_s).jitter_buffer_ms
    assert jitter_ms <= 40


@pytest.mark.parametrize("lost", [{0}, {7, 8, 9}, {0, 1, 2, 3, 4, 5, 6, 7, 8}, {1, 3, 5, 7, 9}])
def test_lost_event_packets_lose_no_digit(lost: set[int]) -> None:
    first = 10  # packets of 0.2 s of speech
    call = Heard(network=lambda number, sent_s: [] if number - first in lost else [sent_s + LATENCY_S])
    call.run(speech(0.2))
    call.talker.engine.send_digits("99")
    call.run(speech(1.0))
    assert [digit for digit, _ in call.digits] == ["9", "9"]


def test_reordered_and_doubled_event_packets_are_one_digit_each() -> None:
    def network(number: int, sent_s: float) -> list[float]:
        return [sent_s + LATENCY_S + (0.045 if number % 3 == 0 else 0.0), sent_s + 0.03]

    call = Heard(network=network)
    call.run(speech(0.2))
    call.talker.engine.send_digits("4546")
    call.run(speech(1.6))
    assert sorted(digit for digit, _ in call.digits) == ["4", "4", "5", "6"]


def test_audio_and_events_side_by_side_are_both_taken() -> None:
    """As gateways do that detect tones in what they pass on: audio goes on while events are sent."""
    listener = end(1, transport(1, remote_dtmf_payload_type=EVENT))
    session, talker = SrtpSession(keys(0), 1000), end(0)
    run(talker, 1.0)
    heard, sequence = [], 0
    for number, packet in enumerate(sent_packets(talker)):
        at_s = number * 0.02 + LATENCY_S
        data = rtp.pack(packet[4], payload_type=AUDIO, sequence=sequence, timestamp=number * 960, ssrc=1000)
        listener.wire.deliver(session.protect(data), at_s)
        sequence += 1
        if 10 <= number < 30:
            event = struct.pack("!BBH", 3, 10, 960 * (number - 9))
            data = rtp.pack(event, payload_type=EVENT, sequence=sequence, timestamp=9600, ssrc=1000)
            listener.wire.deliver(session.protect(data), at_s + 0.001)
            sequence += 1
    for tick in range(100):
        listener.wire.now_s = (tick + 1) * PERIOD_S
        heard.append(listener.engine.tick(bytes(960), listener.wire.now_s))
    stats = listener.engine.stats(1.0)
    assert (stats.dtmf_received, stats.concealed_frames, stats.packets_lost) == (1, 0, 0)
    assert sum(not any(period) for period in heard[5:95]) == 0


def test_a_long_event_in_segments_is_one_digit_and_pressed_again_two() -> None:
    receiver = EventReceiver()
    told = []
    for segment in range(4):  # RFC 4733 2.5.1.3: no marker, no end, the timestamp where the former one ended
        for duration in range(960, 0xFFFF, 9600):
            payload = struct.pack("!BBH", 8, 10, duration)
            told.append(receiver.packet(5, segment * 0xFFFF, payload, marker=segment == 0 and duration == 960))
    told.append(receiver.packet(5, 3 * 0xFFFF, struct.pack("!BBH", 8, END | 10, 60000), marker=False))
    told.append(receiver.packet(5, 4 * 0xFFFF, struct.pack("!BBH", 8, 10, 960), marker=True))
    assert [digit for digit in told if digit] == ["8", "8"]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**32 - 1), st.binary(max_size=8), st.booleans()), max_size=60)
)
def test_garbage_is_never_more_than_a_digit_each_packet(packets: list[tuple[int, int, bytes, bool]]) -> None:
    receiver = EventReceiver()
    for ssrc, timestamp, payload, marker in packets:
        told = receiver.packet(ssrc, timestamp, payload, marker=marker)
        if len(payload) < 4 or payload[0] >= len(DIGITS):
            assert told is None
        else:
            assert told in {None, DIGITS[payload[0]]}
