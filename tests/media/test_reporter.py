"""Reports as RFC 3550 wants them: who sends says SR, whom one hears is reported on, and who leaves says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.media import rtcp, rtp
from tests.media.call_model import (
    PERIOD_FRAMES,
    PERIOD_S,
    Conversation,
    End,
    end,
    far_session,
    is_rtp,
    speak,
    speech,
    transport,
)

SILENCE = np.zeros(PERIOD_FRAMES, np.int16).tobytes()


class FarEnd:
    """Speaks RTP and RTCP to one engine, packet by packet."""

    def __init__(self, side: End) -> None:
        self.side, self.session = side, far_session()
        self.now_s, self.sequence = 0.0, 100

    def run(self, seconds: float, *, mic: bytes = SILENCE, voice: bool = False) -> list[rtcp.Report]:
        """Time passes; the reports that came meanwhile."""
        found, wire = [], self.side.wire
        for number in range(round(seconds / PERIOD_S)):
            self.now_s += PERIOD_S
            wire.now_s = self.now_s
            if voice and number % 2 == 0:
                self.speak()
            self.side.engine.tick(mic, self.now_s)
            for data in wire.sent:
                if not is_rtp(data):
                    (report, *_) = rtcp.parse(self.session.unprotect_rtcp(data))
                    assert isinstance(report, rtcp.Report)
                    found.append(report)
            wire.sent.clear()
        return found

    def speak(self) -> None:
        self.sequence += 1
        packet = rtp.pack(
            b"\x08" * 20, payload_type=111, sequence=self.sequence, timestamp=self.sequence * 960, ssrc=1001
        )
        self.side.wire.deliver(self.session.protect(packet), self.now_s)

    def send(self, packet: bytes) -> None:
        self.side.wire.deliver(self.session.protect_rtcp(packet), self.now_s)


def far_end() -> FarEnd:
    return FarEnd(end(0))


def test_who_does_not_send_any_more_says_rr_after_two_reports() -> None:
    far = far_end()
    assert all(report.sender for report in far.run(5, mic=SILENCE))
    far.side.engine.tick(SILENCE, far.now_s)
    kinds = [report.sender is not None for report in far.run(8, mic=b"")]
    assert kinds[:1] == [True]  # what was sent since the last but one still counts
    assert not any(kinds[2:])
    assert any(report.sender for report in far.run(3))


def test_only_a_source_that_was_heard_of_late_is_reported_on() -> None:
    far = far_end()
    assert [report.blocks for report in far.run(3)][-1] == ()
    blocks = [report.blocks for report in far.run(5, voice=True)]
    assert [block.ssrc for block in blocks[-1]] == [1001]
    silent = [report.blocks for report in far.run(8)]
    assert silent[0] != ()
    assert silent[-1] == ()
    assert far.run(3, voice=True)[-1].blocks != ()


def test_a_source_that_said_bye_is_reported_on_again_only_when_it_is_back() -> None:
    far = far_end()
    far.run(4, voice=True)
    far.send(rtcp.build(1001, "far", sender=None, block=None, bye=True))
    assert all(report.blocks == () for report in far.run(4)[1:])
    assert far.run(3, voice=True)[-1].blocks != ()


def test_lsr_and_dlsr_answer_the_last_sr_of_the_source_that_is_heard() -> None:
    far = far_end()
    far.run(3, voice=True)
    far.send(rtcp.build(1001, "far", sender=rtcp.SenderInfo(0x0123456789ABCDEF, 0, 1, 1), block=None))
    sent_s = far.now_s
    report = far.run(3, voice=True)[-1]
    assert report.blocks[0].last_sr == 0x456789AB
    assert 0 < report.blocks[0].delay_since_last_sr / 65536 <= far.now_s - sent_s + PERIOD_S


def test_what_else_there_is_in_rtcp_is_ignored_and_no_failure() -> None:
    far = far_end()
    far.run(1)
    report = rtcp.build(1001, "far", sender=None, block=None)
    others = ("81ce0002 000003e9 000003e8", "8fce0005 000003e9 00000000 52454d42 01080102 000003e8",
              "80cf0004 000003e9 04000002 01020304 05060708")  # fmt: skip
    for packet in others:
        far.send(report + bytes.fromhex(packet))
    far.run(1)
    assert far.side.engine.stats(far.now_s).auth_failures == 0
    far.send(report + bytes.fromhex("40ca0000"))
    far.run(0.2)
    assert far.side.engine.stats(far.now_s).auth_failures == 1


def test_a_report_that_the_network_doubled_is_no_failure() -> None:
    far = far_end()
    far.run(1)
    report = far.session.protect_rtcp(rtcp.build(1001, "far", sender=None, block=None))
    for _ in range(3):
        far.side.wire.deliver(report, far.now_s)
    far.run(0.2)
    stats = far.side.engine.stats(far.now_s)
    assert (stats.packets_duplicated, stats.auth_failures) == (2, 0)


def test_who_has_never_sent_anything_leaves_without_a_word() -> None:
    silent = end(0)
    silent.engine.close(0.1)
    assert silent.wire.sent == []
    heard = end(0)
    now_s = speak(heard.engine, heard.wire, speech(0.1))
    heard.wire.sent.clear()
    heard.engine.close(now_s)
    assert len(heard.wire.sent) == 1
    assert rtcp.parse(far_session().unprotect_rtcp(heard.wire.sent[0]))[-1] == rtcp.Bye((1000,))


def test_without_feedback_reports_keep_to_the_five_seconds_of_rfc_3550() -> None:
    def reports(minimum_s: float) -> int:
        call = Conversation()
        call.talker = end(0, replace(transport(0), rtp=replace(transport(0).rtp, rtcp_minimum_s=minimum_s)))
        sent: list[bytes] = []
        call.talker.wire.send = sent.append  # type: ignore[method-assign,assignment]
        speak(call.talker.engine, call.talker.wire, speech(30))
        return sum(not is_rtp(data) for data in sent)

    assert 4 <= reports(rtcp.MINIMUM_S) <= 10
    assert 20 <= reports(rtcp.FEEDBACK_MINIMUM_S) <= 45


def test_reports_go_on_where_nothing_is_sent_at_all() -> None:
    engine_end = end(0, replace(transport(0), rtp=replace(transport(0).rtp, receive_only=True)))
    far = FarEnd(engine_end)
    found = far.run(6, voice=True)
    assert len(found) >= 3
    assert all(report.sender is None for report in found)
