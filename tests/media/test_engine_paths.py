"""A call changes its path or its keys: what is heard, what leaves, and what becomes of the old socket."""

import os
from dataclasses import replace

import numpy as np
import pytest

from agent.media import rtp, srtp
from agent.media.engine import FORMER_PATH_S
from agent.media.messages import SrtpKeys
from tests.media.call_model import (
    LATENCY_S,
    PERIOD_FRAMES,
    PERIOD_S,
    Conversation,
    Wire,
    end,
    far_session,
    is_rtp,
    speak,
    speech,
    transport,
)


def test_another_path_with_the_same_keys_goes_on_in_the_same_stream() -> None:
    side = end(0)
    now_s = speak(side.engine, side.wire, speech(0.2))
    other = Wire()
    side.engine.connect(transport(0), bytes(7) + b"\x01", other, now_s)
    speak(side.engine, other, speech(0.2), now_s)
    session = far_session()
    first = [rtp.unpack_header(session.unprotect(data)) for data in side.wire.sent if is_rtp(data)]
    second = [rtp.unpack_header(session.unprotect(data)) for data in other.sent if is_rtp(data)]
    assert len(second) == 10
    assert rtp.sequence_delta(second[0][2], first[-1][2]) == 1
    assert rtp.timestamp_delta(second[0][3], first[-1][3]) == 960
    assert not second[0][1] & rtp.MARKER


def moved(new_keys: bool, *, at: int = 60, latency_s: float = LATENCY_S) -> tuple[Conversation, Wire, np.ndarray]:
    """A conversation whose path changes after `at` periods, with packets still on their way on the old one."""
    call, voice = Conversation(lambda _, sent_s: [sent_s + latency_s]), speech(2.0)
    former = call.listener.wire
    for number in range(len(voice) // PERIOD_FRAMES):
        if number == at:
            fresh = SrtpKeys("SRTP_AEAD_AES_256_GCM", tx=os.urandom(44), rx=os.urandom(44))
            setups = [transport(0), transport(1)]
            if new_keys:
                other = SrtpKeys(fresh.profile, tx=fresh.rx, rx=fresh.tx)
                setups = [replace(setups[0], keys=fresh), replace(setups[1], keys=other)]
            for side, setup in zip((call.talker, call.listener), setups, strict=True):
                side.wire = Wire()
                key_id = b"newkeys!" if new_keys else bytes(7) + bytes([setup.rtp.ssrc - 999])
                side.engine.connect(setup, key_id, side.wire, call.now_s)
        call.now_s += PERIOD_S
        former.now_s = call.now_s + 0.0031
        call.step(voice[number * PERIOD_FRAMES : (number + 1) * PERIOD_FRAMES].tobytes())
    return call, former, np.frombuffer(b"".join(call.heard), np.int16)


@pytest.mark.parametrize("new_keys", [False, True])
@pytest.mark.parametrize("at", [60, 61])
def test_a_change_of_path_is_not_heard_at_all(new_keys: bool, at: int) -> None:
    """Bit for bit: what waits on the old socket is read, and no stream begins anew."""
    undisturbed = Conversation(lambda _, sent_s: [sent_s + 0.035]).run(speech(2.0))
    call, former, heard = moved(new_keys, at=at, latency_s=0.035)
    assert np.array_equal(heard, undisturbed)
    assert former.arriving == []
    stats = call.listener.engine.stats(call.now_s)
    assert (stats.packets_lost, stats.concealed_frames, stats.auth_failures) == (0, 0, 0)


def test_packets_from_elsewhere_and_those_that_could_not_be_sent_are_counted_on_every_path() -> None:
    side, other = end(0), Wire()
    side.wire.refused, side.wire.send_errors = 3, 2
    stats = side.engine.stats(0.01)
    assert (stats.packets_refused, stats.send_errors) == (3, 2)
    side.wire.refused += 2
    side.engine.connect(transport(0), bytes(7) + b"\x01", other, 0.02)
    other.refused = 1
    assert side.engine.stats(0.03).packets_refused == 6
    stats = side.engine.stats(0.04)
    assert (stats.packets_refused, stats.send_errors) == (6, 2)


@pytest.mark.parametrize("new_keys", [False, True])
def test_packets_that_wait_on_the_old_socket_are_read_before_it_is_left(new_keys: bool) -> None:
    side, session = end(1), far_session(0)
    for number in range(8):
        data = rtp.pack(b"\x08", payload_type=111, sequence=number, timestamp=number * 960, ssrc=1000)
        side.wire.deliver(session.protect(data), 0.0)
    fresh = SrtpKeys("SRTP_AES128_CM_SHA1_80", tx=bytes(30), rx=bytes(range(30)))
    setup = replace(transport(1), keys=fresh) if new_keys else transport(1)
    side.engine.connect(setup, b"newkeys!" if new_keys else bytes(7) + b"\x02", Wire(), 0.01)
    assert side.wire.arriving == []
    assert not side.wire.closed
    assert side.engine.stats(0.01).packets_received == 8


def test_a_former_socket_is_closed_after_a_while_and_with_the_call() -> None:
    side = end(0)
    wires = [side.wire, Wire(), Wire(), Wire()]
    now_s = 0.1
    for wire in wires[1:3]:
        side.engine.connect(transport(0), bytes(7) + b"\x01", wire, now_s)
    assert [wire.closed for wire in wires] == [True, False, False, False]  # one former path at a time
    now_s = speak(side.engine, wires[2], speech(FORMER_PATH_S + 0.2), now_s)
    assert [wire.closed for wire in wires] == [True, True, False, False]
    side.engine.connect(transport(0), bytes(7) + b"\x01", wires[3], now_s)
    side.engine.close(now_s)
    assert all(wire.closed for wire in wires)


def test_stun_on_the_former_socket_still_finds_its_owner() -> None:
    side = end(0)
    former = side.wire
    side.engine.connect(transport(0), bytes(7) + b"\x01", Wire(), 0.0)
    former.deliver(b"\x00\x01late", 0.01)
    former.now_s = 1.0
    speak(side.engine, Wire(), np.zeros(4 * PERIOD_FRAMES, np.int16))
    assert [data for data, _ in side.forwarded] == [b"\x00\x01late"]


def test_who_moved_and_has_another_source_there_is_heard_at_once_whatever_the_former_path_still_brings() -> None:
    """As a gateway does that bridges to another media server: the former one sends silence until it is told to end."""
    side, former, other = end(0), far_session(), Wire()
    fresh = SrtpKeys("SRTP_AES128_CM_SHA1_80", tx=bytes(30), rx=bytes(range(30)))
    session = srtp.SrtpSession(SrtpKeys(fresh.profile, tx=fresh.rx, rx=fresh.tx), 77)
    leaving = side.wire

    def deliver(wire: Wire, session: srtp.SrtpSession, number: int, ssrc: int) -> None:
        packet = rtp.pack(bytes(20), payload_type=111, sequence=number, timestamp=number * 960, ssrc=ssrc)
        wire.deliver(session.protect(packet), 0.0031 + number * 2 * PERIOD_S)

    for number in range(100):
        deliver(leaving, former, number, 1001)
        if number > 51:
            deliver(other, session, number, 77)
    sources = []
    for tick in range(1, 200):
        now_s = leaving.now_s = other.now_s = tick * PERIOD_S
        if tick == 100:  # a packet by the former path comes before the first by this one
            side.engine.connect(replace(transport(0), keys=fresh), b"newkeys!", other, now_s)
        side.engine.tick(bytes(2 * PERIOD_FRAMES), now_s)
        assert side.engine._receiver is not None
        sources += [side.engine._receiver.ssrc] if side.engine._receiver.ssrc not in sources[-1:] else []
    assert sources == [1001, 77]
    stats = side.engine.stats(2.0)
    assert (stats.packets_lost, stats.stream_restarts) == (0, 1)
    assert side.engine._receiver is not None
    assert side.engine._receiver.reception is not None
    assert side.engine._receiver.reception.received == 48


def test_new_keys_continue_the_timeline_with_a_new_rollover_counter() -> None:
    side = end(0)
    now_s = speak(side.engine, side.wire, speech(0.2))
    last = rtp.unpack_header(side.wire.sent[-1])
    fresh = SrtpKeys("SRTP_AES128_CM_SHA1_80", tx=bytes(30), rx=bytes(range(30)))
    side.engine.connect(replace(transport(0), keys=fresh), b"newkeys!", side.wire, now_s)
    side.wire.sent.clear()
    now_s = speak(side.engine, side.wire, speech(0.2), now_s)
    session = srtp.SrtpSession(SrtpKeys(fresh.profile, tx=fresh.rx, rx=fresh.tx), 1)
    header = rtp.unpack_header(session.unprotect(side.wire.sent[0]))
    assert rtp.sequence_delta(header[2], last[2]) == 1
    assert rtp.timestamp_delta(header[3], last[3]) == 960
    assert side.engine.stats(now_s).packets_sent == 20


def test_a_call_that_only_received_sends_once_the_far_end_wants_to_hear_it() -> None:
    """As after a restart whose answer says sendrecv where the former said inactive: same keys, same stream."""
    side = end(0, transport(0, receive_only=True))
    now_s = speak(side.engine, side.wire, speech(0.2))
    assert [data for data in side.wire.sent if is_rtp(data)] == []
    other, key_id = Wire(), bytes(7) + b"\x01"
    side.engine.connect(transport(0), key_id, other, now_s)
    now_s = speak(side.engine, other, speech(0.2), now_s)
    session = far_session()
    headers = [rtp.unpack_header(session.unprotect(data)) for data in other.sent if is_rtp(data)]
    assert len(headers) == 10
    third = Wire()
    side.engine.connect(transport(0, receive_only=True), key_id, third, now_s)
    now_s = speak(side.engine, third, speech(0.2), now_s)
    assert [data for data in third.sent if is_rtp(data)] == []
    fourth = Wire()
    side.engine.connect(transport(0), key_id, fourth, now_s)
    speak(side.engine, fourth, speech(0.2), now_s)
    again = [rtp.unpack_header(session.unprotect(data)) for data in fourth.sent if is_rtp(data)]
    assert rtp.sequence_delta(again[0][2], headers[-1][2]) >= 1  # no index is used twice
    assert rtp.timestamp_delta(again[0][3], headers[-1][3]) >= 960


def test_digits_leave_a_muted_call_too() -> None:
    side = end(0, transport(0, dtmf_payload_type=110))
    side.engine.muted = True
    side.engine.send_digits("5")
    speak(side.engine, side.wire, speech(0.4))
    session = far_session()
    packets = [session.unprotect(data) for data in side.wire.sent if is_rtp(data)]
    assert {data[12] for data in packets if data[1] & 127 == 110} == {5}
