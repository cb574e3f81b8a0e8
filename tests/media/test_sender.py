"""What leaves: packets of a length that changes in a call, timestamps that do not care, settings that are the far
end's."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from agent.media import rtcp, rtp
from agent.media.codecs.codec import FORMATS, format_of
from agent.media.codecs.opus import MAX_PACKET_BYTES, packet_frames
from agent.media.encoder_control import MAX_FEC_PERCENT, EncoderSettings
from agent.media.messages import OpusSetup
from agent.media.sender import Sender
from tests.media.call_model import (
    LATENCY_S,
    PERIOD_FRAMES,
    PERIOD_S,
    RATE_HZ,
    Conversation,
    End,
    delay_frames,
    end,
    far_session,
    is_rtp,
    speak,
    speech,
    transport,
)

FRAMES_MS = (10, 20, 40, 60)


def sender_of(side: End) -> Sender:
    sender = side.engine._sender
    assert sender is not None
    return sender


def sent_packets(side: End) -> list[tuple[int, int, bytes]]:
    """Sequence number, timestamp and payload of all RTP since the last call."""
    session, found = far_session(), []
    for data in side.wire.sent:
        if is_rtp(data):
            packet = session.unprotect(data)
            _, _, sequence, timestamp, _ = rtp.unpack_header(packet)
            found.append((sequence, timestamp, rtp.payload_of(packet)))
    return found


@pytest.mark.parametrize("codec", FORMATS)
def test_timestamps_go_on_where_the_sound_ended_whatever_the_packets_length(codec: str) -> None:
    side = end(0, transport(0, codec=codec))
    sender, format_ = sender_of(side), format_of(codec)
    now_s, voice = 0.0, speech(0.35)
    for ptime_ms in (20, 60, 10, 40, 20, 10, 60):
        sender.apply(replace(sender.settings, ptime_ms=ptime_ms))
        now_s = speak(side.engine, side.wire, voice, now_s)
    packets = sent_packets(side)
    lengths = [format_.packet_frames(payload) // format_.ticks for _, _, payload in packets]
    for ((sequence, timestamp, _), (later, after, _)), length in zip(pairwise(packets), lengths, strict=False):
        assert rtp.sequence_delta(later, sequence) == 1
        assert rtp.timestamp_delta(after, timestamp) == length
    assert {length * 1000 // format_.clock_rate_hz for length in lengths} == set(FRAMES_MS)
    said_s = sum(lengths) / format_.clock_rate_hz
    assert said_s == pytest.approx(now_s, abs=0.06)  # no sound is lost at a change but what waits for its packet


@pytest.mark.parametrize("codec", ["opus", "pcmu"])
def test_a_change_of_length_is_heard_by_nobody(codec: str) -> None:
    voice, changing, plain = speech(4), Conversation(codec=codec), Conversation(codec=codec)
    for at, ptime_ms in ((0, 20), (1, 40), (2, 60), (3, 10)):
        sender = sender_of(changing.talker)
        sender.apply(replace(sender.settings, ptime_ms=ptime_ms))
        piece = voice[at * RATE_HZ : (at + 1) * RATE_HZ]
        changing.run(piece)
        plain.run(piece)
    stats = changing.listener.engine.stats(changing.now_s)
    assert (stats.packets_lost, stats.packets_late) == (0, 0)
    heard = np.frombuffer(b"".join(changing.heard), np.int16)
    for second in (0.3, 1.4, 2.4, 3.2):
        assert delay_frames(voice, heard, second)[1] > 0.9, second


def test_a_digit_keeps_its_packet_length_and_the_change_comes_after_it() -> None:
    side = end(0, transport(0, dtmf_payload_type=101))
    side.engine.send_digits("5")
    sender = sender_of(side)
    sender.apply(replace(sender.settings, ptime_ms=60))
    speak(side.engine, side.wire, speech(0.8))
    packets = sent_packets(side)
    digits = [timestamp for _, timestamp, payload in packets if len(payload) == 4 and payload[0] == 5]
    assert len(digits) == 160 // 20 + 2  # with two more ends
    assert len(set(digits)) == 1
    assert packet_frames(packets[-1][2]) == 60 * 48
    audio = [(timestamp, packet_frames(payload)) for _, timestamp, payload in packets if len(payload) != 4]
    assert all(rtp.timestamp_delta(new, old) == length for (old, length), (new, _) in pairwise(audio) if length == 2880)


def test_the_timestamp_of_now_moves_with_the_microphone_at_any_length() -> None:
    side = end(0)
    sender = sender_of(side)
    before, now_s = sender.timestamp_at_capture(), 0.0
    for ptime_ms in FRAMES_MS:
        sender.apply(replace(sender.settings, ptime_ms=ptime_ms))
        for _ in range(7):
            now_s = speak(side.engine, side.wire, speech(PERIOD_S), now_s)
            after = sender.timestamp_at_capture()
            assert rtp.timestamp_delta(after, before) == PERIOD_FRAMES
            before = after


def test_what_the_control_decides_is_what_leaves() -> None:
    side = end(0)
    sender = sender_of(side)
    sender.apply(EncoderSettings(12000, 10, 60))
    speak(side.engine, side.wire, speech(6))
    payloads = [payload for _, _, payload in sent_packets(side)][2:]
    assert {packet_frames(payload) for payload in payloads} == {2880}
    assert sum(map(len, payloads)) * 8 / (0.06 * len(payloads)) < 13500
    stats = side.engine.stats(6.0)
    assert (stats.bitrate_bps, stats.ptime_ms, stats.fec_percent) == (12000, 60, 10)


class NarrowLink(Conversation):
    """A link of `link_bps` with a queue of 600 ms at the most, which all of the talker's packets go through."""

    link_bps = 30_000
    free_s = 0.0

    def step(self, period: bytes) -> None:
        talker, listener = self.talker, self.listener
        talker.wire.now_s = self.now_s
        talker.engine.tick(period, self.now_s)
        for data in talker.wire.sent:
            if self.free_s - self.now_s < 0.6:
                self.free_s = max(self.now_s, self.free_s) + (len(data) + 28) * 8 / self.link_bps
                listener.wire.deliver(data, self.free_s + LATENCY_S)
        talker.wire.sent.clear()
        listener.wire.now_s = self.now_s
        self.heard.append(listener.engine.tick(bytes(len(period)), self.now_s))
        for data in listener.wire.sent:
            talker.wire.deliver(data, self.now_s + LATENCY_S)
        listener.wire.sent.clear()


def test_a_congested_path_is_answered_with_less_until_nothing_is_lost_and_taken_up_again_when_it_is_wide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both engines, with their own RTCP between them, whose moments are random: here the same in every run."""
    monkeypatch.setattr(rtcp, "chance", random.Random(1).random)
    call, voice = NarrowLink(), speech(10)
    call.run(voice)
    lost = call.listener.engine.stats(call.now_s).packets_lost
    assert lost > 20
    stats = call.talker.engine.stats(call.now_s)
    assert (stats.ptime_ms, stats.fec_percent) == (40, MAX_FEC_PERCENT)
    assert stats.bitrate_bps <= 20480
    call.run(voice)
    assert call.listener.engine.stats(call.now_s).packets_lost == lost
    stats = call.talker.engine.stats(call.now_s)
    assert (stats.ptime_ms, stats.fec_percent) == (40, 10)
    assert 12000 < stats.bitrate_bps <= 20480
    call.link_bps = 1_000_000
    for _ in range(3):
        call.run(voice)
    stats = call.talker.engine.stats(call.now_s)
    assert (stats.bitrate_bps, stats.ptime_ms, stats.fec_percent) == (32000, 20, 10)
    for _ in range(3):
        call.run(voice)
    stats = call.talker.engine.stats(call.now_s)
    assert (stats.bitrate_bps, stats.ptime_ms, stats.fec_percent) == (32000, 20, 0)
    assert call.listener.engine.stats(call.now_s).packets_lost == lost


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_without_adapt_nothing_moves(loss: float) -> None:
    call = Conversation(
        lambda number, sent_s: [] if number % 10 < 10 * loss else [sent_s + LATENCY_S], opus=OpusSetup(adapt=False)
    )
    call.run(speech(4))
    stats = call.talker.engine.stats(call.now_s)
    assert (stats.bitrate_bps, stats.ptime_ms, stats.fec_percent) == (32000, 20, 10)


def test_constant_bit_rate_is_constant() -> None:
    side = end(0, replace(transport(0), opus=OpusSetup(cbr=True, bitrate_bps=24000)))
    speak(side.engine, side.wire, speech(2))
    assert {len(payload) for _, _, payload in sent_packets(side)} == {24000 // 8 // 50}


def test_no_wider_band_is_coded_than_the_far_end_plays() -> None:
    def bands(max_playback_rate_hz: int) -> set[int]:
        opus = OpusSetup(bitrate_bps=40000, max_playback_rate_hz=max_playback_rate_hz)
        side = end(0, replace(transport(0), opus=opus))
        speak(side.engine, side.wire, speech(1))
        return {payload[0] >> 3 for _, _, payload in sent_packets(side)[5:]}

    assert max(bands(8000)) < 4  # SILK narrow band (RFC 6716 3.1)
    assert max(bands(16000)) < 12  # up to SILK wide band
    assert max(bands(48000)) >= 12


def test_sr_tells_the_rtp_clock_of_its_own_moment() -> None:
    """RFC 3550 6.4.1: NTP and RTP timestamp are of the same instant."""
    side = end(0)
    speak(side.engine, side.wire, speech(8))
    session = far_session()
    reports = [rtcp.parse(session.unprotect_rtcp(data))[0] for data in side.wire.sent if not is_rtp(data)]
    infos = [report.sender for report in reports if isinstance(report, rtcp.Report) and report.sender]
    assert len(infos) >= 3
    for one, two in pairwise(infos):
        passed_s = (two.ntp - one.ntp) / 2**32
        assert rtp.timestamp_delta(two.rtp_timestamp, one.rtp_timestamp) == pytest.approx(passed_s * RATE_HZ, abs=2)


def test_no_packet_is_longer_than_the_encoders_buffer() -> None:
    side = end(0, replace(transport(0), opus=OpusSetup(bitrate_bps=510_000, ptime_ms=60)))
    speak(side.engine, side.wire, np.random.default_rng(1).integers(-32768, 32767, RATE_HZ // 2).astype(np.int16))
    assert max(len(payload) for _, _, payload in sent_packets(side)) <= MAX_PACKET_BYTES
