import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.media import counters, rtcp, rtp, srtp
from agent.media.counters import Counters, Totals
from agent.media.engine import Engine
from agent.media.jitter import GRAIN_FRAMES
from agent.media.messages import OpusSetup, SrtpKeys
from tests.media.call_model import (
    LATENCY_S,
    PERIOD_FRAMES,
    PERIOD_S,
    RATE_HZ,
    Conversation,
    Wire,
    end,
    far_session,
    is_rtp,
    keys,
    page,
    speak,
    speech,
    transport,
)

SILENCE = bytes(2 * PERIOD_FRAMES)
KEY_ID = bytes(8)


def test_before_connect_the_microphone_goes_nowhere_and_the_speaker_is_silent() -> None:
    engine = Engine(RATE_HZ, PERIOD_FRAMES, page(), lambda *_: None)
    loud = np.full(PERIOD_FRAMES, 9000, np.int16).tobytes()
    assert {engine.tick(loud, tick * PERIOD_S) for tick in range(5)} == {SILENCE}
    wire = Wire()
    engine.connect(transport(0), KEY_ID, wire, 0.05)
    engine.tick(loud, 0.06)
    assert wire.sent == []  # half a frame: nothing of before was kept
    engine.tick(loud, 0.07)
    assert len(wire.sent) == 1


def test_marker_only_on_the_first_packet_of_a_talk_spurt() -> None:
    setup = replace(transport(0), opus=OpusSetup(dtx=True))
    side = end(0, setup)
    silence = np.zeros(RATE_HZ, np.int16)
    speak(side.engine, side.wire, np.concatenate((speech(1), silence, speech(1))))
    session = far_session()
    headers = [rtp.unpack_header(session.unprotect(data)) for data in side.wire.sent if is_rtp(data)]
    timestamps = [header[3] for header in headers]
    after_pause = [False] + [rtp.timestamp_delta(new, old) > 960 for old, new in pairwise(timestamps)]
    markers = [bool(header[1] & rtp.MARKER) for header in headers]
    assert markers[0]
    assert any(after_pause)
    assert markers[1:] == after_pause[1:]
    sequences = [header[2] for header in headers]
    assert all(rtp.sequence_delta(new, old) == 1 for old, new in pairwise(sequences))


def test_muted_sends_silence_without_a_gap() -> None:
    call = Conversation()
    call.talker.engine.muted = True
    heard = call.run(speech(0.6))
    assert np.abs(heard).max() <= 2
    assert call.talker.engine.stats(call.now_s).packets_sent == 30
    call.talker.engine.muted = False
    assert np.abs(call.run(speech(0.6))[len(heard) :]).max() > 3000


def test_deaf_plays_silence_while_everything_is_received_and_hears_at_once_afterwards() -> None:
    call = Conversation()
    call.listener.engine.deaf = True
    heard = call.run(speech(0.6))
    assert not heard.any()
    stats = call.listener.engine.stats(call.now_s)
    assert stats.packets_received >= 29  # the last one is on its way
    assert (stats.packets_lost, stats.concealed_frames) == (0, 0)
    assert stats.playback_dbfs == -127.0
    call.listener.engine.deaf = False
    again = call.run(speech(0.6))[len(heard) :]
    assert np.abs(again).max() > 3000
    assert call.listener.engine.stats(call.now_s).playback_dbfs > -60


def test_datagrams_find_their_owner_by_their_first_byte() -> None:
    side = end(0)
    stun, dtls, turn = b"\x00\x01stun", b"\x16\xfe\xfd", b"\x40\x00turn"
    for number, data in enumerate((stun, b"", b"\x80", b"\xc8nobody", b"\x60nobody", dtls, turn)):
        side.wire.deliver(data, number * 0.001)
    speak(side.engine, side.wire, np.zeros(4 * PERIOD_FRAMES, np.int16))
    assert side.forwarded == [(data, ("192.0.2.1", 4000)) for data in (stun, dtls, turn)]
    assert side.engine.stats(0.1).auth_failures == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(min_size=2, max_size=200).map(lambda data: bytes([0x80 | data[0] & 0x3F]) + data[1:])))
def test_packets_without_the_key_change_nothing_but_a_counter(hostile: list[bytes]) -> None:
    side = end(0)
    for number, data in enumerate(hostile):
        side.wire.deliver(data, number * 1e-4)
    speak(side.engine, side.wire, np.zeros(8 * PERIOD_FRAMES, np.int16))
    stats = side.engine.stats(0.1)
    assert stats.packets_received == 0
    assert stats.auth_failures == min(len(hostile), 32 * 4)
    assert stats.seconds_since_packet is None
    assert side.forwarded == []


def test_a_stranger_with_another_key_is_not_heard() -> None:
    call = Conversation()
    stranger = srtp.SrtpSession(SrtpKeys("SRTP_AEAD_AES_256_GCM", os.urandom(44), os.urandom(44)), 1000)
    for number in range(100):
        forged = rtp.pack(b"\x08" * 20, payload_type=111, sequence=number, timestamp=number * 960, ssrc=1000)
        call.listener.wire.deliver(stranger.protect(forged), number * 0.02)
    assert np.array_equal(call.run(speech(2)), Conversation().run(speech(2)))
    stats = call.listener.engine.stats(call.now_s)
    assert (stats.auth_failures, stats.packets_lost) == (100, 0)


def test_authentic_nonsense_is_heard_as_a_lost_packet() -> None:
    side, session = end(0), far_session()
    for number in range(20):
        payload = b"\xff\xff\xff" if number == 10 else b"\x08"
        data = rtp.pack(payload, payload_type=111, sequence=number, timestamp=number * 960, ssrc=1001)
        side.wire.deliver(session.protect(data), number * 0.02)
    other = rtp.pack(b"dtmf", payload_type=101, sequence=20, timestamp=400, ssrc=1001)
    side.wire.deliver(session.protect(other), 0.4)
    side.wire.deliver(session.protect_rtcp(b"\x80\xcc\x00\x09" + bytes(8)), 0.41)
    speak(side.engine, side.wire, np.zeros(50 * PERIOD_FRAMES, np.int16))
    stats = side.engine.stats(0.5)
    assert (stats.packets_received, stats.packets_lost) == (21, 0)


def test_the_far_end_may_change_its_ssrc_and_come_back() -> None:
    side, session = end(0), far_session()
    number = 0
    for ssrc in (1001, 77, 1001):
        for _ in range(25):
            data = rtp.pack(b"\x08", payload_type=111, sequence=60000 + number, timestamp=number * 960, ssrc=ssrc)
            side.wire.deliver(session.protect(data), number * 0.02)
            number += 1
    speak(side.engine, side.wire, np.zeros(160 * PERIOD_FRAMES, np.int16))
    stats = side.engine.stats(1.6)
    assert stats.packets_received == 75
    assert stats.auth_failures == 0


def test_reports_say_what_was_sent_and_lost_and_close_says_bye() -> None:
    call = Conversation(lambda number, sent_s: [] if number % 10 == 5 else [sent_s + LATENCY_S])
    listener = call.listener
    collected: list[bytes] = []
    listener.wire.send = collected.append
    call.run(speech(12))
    listener.engine.close(call.now_s)
    session = far_session(0)
    reports = [rtcp.parse(session.unprotect_rtcp(data)) for data in collected if not is_rtp(data)]
    assert 8 <= len(reports) <= 20  # one a second, randomised
    before = None
    for parts in reports:
        report = parts[0]
        assert isinstance(report, rtcp.Report)
        assert report.sender is not None
        block = report.blocks[0]
        assert block.ssrc == 1000
        if before is not None:
            # Of every ten packets one is lost, and an interval of random length may begin or end just there.
            expected = block.highest_sequence - before.highest_sequence
            lost = block.packets_lost - before.packets_lost
            assert abs(lost - expected / 10) < 1
            assert block.fraction_lost == 256 * lost // expected
        before = block
    assert before is not None
    assert before.packets_lost == pytest.approx(12 * 50 / 10, abs=1)
    assert reports[-1][-1] == rtcp.Bye((1001,))
    assert [part for parts in reports[:-1] for part in parts if isinstance(part, rtcp.Bye)] == []


def test_fec_grows_with_the_loss_that_the_far_end_reports() -> None:
    def dimensioned_for(lost_of_ten: int) -> int:
        call = Conversation(
            lambda number, sent_s: [] if number % 10 < lost_of_ten else [sent_s + LATENCY_S],
            opus=OpusSetup(packet_loss_percent=0, bitrate_bps=24000),
        )
        call.run(speech(6))
        return call.talker.engine.stats(call.now_s).fec_percent

    assert dimensioned_for(0) == 0
    assert dimensioned_for(1) == pytest.approx(10, abs=2)
    assert dimensioned_for(4) == 20


@pytest.mark.parametrize("how", ["no microphone", "receive_only"])
def test_receive_only_sends_nothing_but_receiver_reports(how: str) -> None:
    call = Conversation()
    if how == "receive_only":
        call.listener = end(1, transport(1, receive_only=True))
    period = b"" if how == "no microphone" else bytes(2 * PERIOD_FRAMES)
    sent, listener = [], call.listener
    listener.wire.send = sent.append
    tick = listener.engine.tick
    listener.engine.tick = lambda _, now_s: tick(period, now_s)
    heard = call.run(speech(8.0))
    assert np.abs(heard).max() > 3000
    assert sent
    assert not any(is_rtp(data) for data in sent)
    session = far_session(0)
    for data in sent:
        report = rtcp.parse(session.unprotect_rtcp(data))[0]
        assert isinstance(report, rtcp.Report)
        assert report.ssrc == 1001
        assert report.sender is None
        assert report.blocks[0].ssrc == 1000
        assert report.blocks[0].packets_lost == 0
    assert listener.engine.stats(call.now_s).packets_sent == 0


def test_statistics_count_bytes_without_headers_and_name_the_codec() -> None:
    call = Conversation()
    assert Engine(RATE_HZ, PERIOD_FRAMES, page(), lambda *_: None).stats(0.0).codec == ""
    call.run(speech(1.0))
    talker, listener = call.talker.engine.stats(1.0), call.listener.engine.stats(1.0)
    sender = call.talker.engine._sender
    assert sender is not None
    assert (talker.codec, talker.bytes_sent) == ("opus", sender.octets)
    assert 0.9 * talker.bytes_sent < listener.bytes_received <= talker.bytes_sent


@pytest.mark.parametrize("rollovers", [0, 1, 5])
def test_an_engine_in_place_of_a_killed_one_continues_every_counter(rollovers: int) -> None:
    talker = end(0)
    listener_session = far_session()
    index = rollovers * 65536 + 65530
    talker.counters.packet_leaves(index, 5, 0)
    talker.counters.report_leaves(9)
    for step in range(0, index, 20000):
        data = rtp.pack(b"", payload_type=111, sequence=step, timestamp=0, ssrc=1000)
        listener_session.unprotect(srtp.SrtpSession(keys(0), 1000, srtp.SrtpPosition(step, 0, None, 0)).protect(data))
    dead = Engine(RATE_HZ, PERIOD_FRAMES, talker.counters, lambda *_: None)
    dead.connect(transport(0), bytes(7) + b"\x01", talker.wire, 0.0)
    now_s = speak(dead, talker.wire, speech(0.2))  # passes a rollover, then is killed
    sent = list(talker.wire.sent)
    dead.stats(now_s)
    talker.wire.sent.clear()

    alive = Engine(RATE_HZ, PERIOD_FRAMES, talker.counters, lambda *_: None, totals=talker.counters.load())
    alive.connect(transport(0), bytes(7) + b"\x01", talker.wire, now_s + 0.3)
    now_s = speak(alive, talker.wire, speech(0.2), now_s + 0.3)
    headers = [rtp.unpack_header(listener_session.unprotect(data)) for data in sent + talker.wire.sent if is_rtp(data)]
    sequences = [header[2] for header in headers]
    assert sequences == [(65530 + number) & 0xFFFF for number in range(20)]
    gap = rtp.timestamp_delta(headers[10][3], headers[9][3]) - 960
    assert gap == pytest.approx(0.3 * 48000, abs=960)
    assert headers[10][1] & rtp.MARKER
    assert alive.stats(now_s).packets_sent == 20


def test_a_rate_that_opus_cannot_take_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"audio\.rate_hz: Opus cannot take 44100 Hz; use one of .*48000"):
        Engine(44100, 441, page(), lambda *_: None)


def test_counters_of_other_keys_are_not_continued() -> None:
    shared = page()
    assert not shared.belongs_to(KEY_ID, 0)  # a page of zeros is nobody's
    shared.begin(b"someone!", 5, 70000, 1, 2)
    shared.save(Totals(packets_sent=3))
    assert shared.belongs_to(b"someone!", 5)
    assert not shared.belongs_to(b"someone!", 6)
    assert not shared.belongs_to(b"another!", 5)
    assert shared.load().packets_sent == 3


def test_a_process_killed_before_its_first_packet_continues_its_reports() -> None:
    """DTX may keep the first packet back for longer than the first report."""
    side = end(0)
    reporter = side.engine._reporter
    assert reporter is not None
    reporter.report(0.01)
    alive = Engine(RATE_HZ, PERIOD_FRAMES, side.counters, lambda *_: None)
    alive.connect(transport(0), bytes(7) + b"\x01", side.wire, 0.5)
    alive.close(0.6)
    session = far_session()
    assert [len(rtcp.parse(session.unprotect_rtcp(data))) for data in side.wire.sent] == [1, 2]  # no index twice


def test_a_kill_in_the_middle_of_a_store_never_shows_an_older_index() -> None:
    """Another process looks on, as the next one would after SIGKILL at any moment."""
    fd = counters.create()
    shared = Counters(fd)
    shared.begin(b"someone!", 5, 1, 1, 1)
    shared.packet_came(7, 1)
    writer = os.fork()
    if writer == 0:
        for index in range(1, 400_000):
            shared.packet_leaves(index, index, index)
            shared.packet_came(7, index)
        os._exit(0)
    last_sent = last_received = looks = 0
    while not os.waitpid(writer, os.WNOHANG)[0]:
        for _ in range(1000):
            sent, received = shared.next_packet()[0], shared.received()
            assert sent >= last_sent
            assert received[0] == 7
            assert received[1] >= last_received
            last_sent, last_received, looks = sent, received[1], looks + 1
    os.close(fd)
    assert looks > 1000


@pytest.mark.parametrize("period_frames", [96, 144, 240, 256, 336, 441, 480, 720, 960])
def test_a_lost_packet_leaves_no_delay_whatever_the_period(period_frames: int) -> None:
    """Nor does Opus' grain of 2.5 ms matter, in which a loss is concealed."""
    wire, session, packets = Wire(), far_session(), 250
    engine = Engine(RATE_HZ, period_frames, page(), lambda *_: None)
    engine.connect(transport(0), KEY_ID, wire, 0.0)
    for number in range(packets):
        data = session.protect(rtp.pack(b"\x08", payload_type=111, sequence=number, timestamp=number * 960, ssrc=1001))
        if number not in {60, 110}:  # two gaps in ten seconds: no reason yet to spend delay on FEC
            wire.deliver(data, 0.0013 + number * 0.02)
    receiver, delays = engine._receiver, []
    assert receiver is not None
    now_s = 0.0
    while now_s < packets * 0.02:
        now_s += period_frames / RATE_HZ
        wire.now_s = now_s
        assert len(engine.tick(bytes(2 * period_frames), now_s)) == 2 * period_frames
        jitter = receiver.jitter
        rest = (receiver._end - receiver._at) // 2
        delays.append(round(now_s * RATE_HZ) - (jitter._next_timestamp + jitter._gap - rest))
    fifth = len(delays) // 5
    assert max(delays[-fifth:]) <= max(delays[fifth : 2 * fifth]) + GRAIN_FRAMES
    assert engine.stats(now_s).packets_dropped == 0
