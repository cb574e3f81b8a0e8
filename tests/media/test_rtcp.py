import random
from collections.abc import Iterator

import pytest
from aiortc.rtp import RtcpByePacket, RtcpPacket, RtcpRrPacket, RtcpSdesPacket, RtcpSrPacket
from hypothesis import given
from hypothesis import strategies as st

from agent.media import rtcp
from agent.media.reception import Reception

BLOCK = rtcp.ReportBlock(7, 64, -3, 123456, 789, 0xABCD, 65536)


def test_sender_report_is_read_alike_by_aiortc() -> None:
    info = rtcp.SenderInfo(ntp=0x0102030405060708, rtp_timestamp=2**32 - 1, packets=10, octets=2000)
    sr, sdes, bye = RtcpPacket.parse(rtcp.build(42, "front-door", sender=info, block=BLOCK, bye=True))
    assert isinstance(sr, RtcpSrPacket)
    assert (sr.ssrc, sr.sender_info.ntp_timestamp, sr.sender_info.packet_count) == (42, 0x0102030405060708, 10)
    assert (sr.reports[0].ssrc, sr.reports[0].fraction_lost, sr.reports[0].packets_lost) == (7, 64, -3)
    assert (sr.reports[0].jitter, sr.reports[0].lsr, sr.reports[0].dlsr) == (789, 0xABCD, 65536)
    assert isinstance(sdes, RtcpSdesPacket)
    assert sdes.chunks[0].items == [(1, b"front-door")]
    assert isinstance(bye, RtcpByePacket)
    assert bye.sources == [42]


@pytest.mark.parametrize("cname", ["", "a", "ab", "abc", "abcd", "ü" * 200])
def test_compound_packets_stay_aligned_whatever_the_name(cname: str) -> None:
    packet = rtcp.build(42, cname, sender=None, block=None)
    assert len(packet) % 4 == 0
    report, sdes = RtcpPacket.parse(packet)
    assert isinstance(report, RtcpRrPacket)
    assert isinstance(sdes, RtcpSdesPacket)
    assert sdes.chunks[0].items[0][1] == cname.encode()[:255]


def test_own_parser_reads_reports_and_bye() -> None:
    info = rtcp.SenderInfo(1, 2, 3, 4)
    packet = rtcp.build(42, "x", sender=info, block=BLOCK, bye=True)
    assert rtcp.parse(packet) == [rtcp.Report(42, info, (BLOCK,)), rtcp.Bye((42,))]
    assert rtcp.parse(rtcp.build(9, "x", sender=None, block=BLOCK)) == [rtcp.Report(9, None, (BLOCK,))]


@given(st.binary(max_size=200) | st.binary(min_size=3, max_size=60).map(lambda data: b"\x81\xc8" + data))
def test_hostile_bytes_are_refused_or_parsed(data: bytes) -> None:
    try:
        parts = rtcp.parse(data)
    except rtcp.RtcpError:
        return
    assert all(isinstance(part, rtcp.Report | rtcp.Bye) for part in parts)


@given(st.data())
def test_every_truncation_is_refused(data: st.DataObject) -> None:
    packet = rtcp.build(42, "front-door", sender=rtcp.SenderInfo(1, 2, 3, 4), block=BLOCK, bye=True)
    cuts = [cut for cut in range(len(packet)) if cut not in {0, 52, 76}]  # those end between two of the three
    with pytest.raises(rtcp.RtcpError):
        rtcp.parse(packet[: data.draw(st.sampled_from(cuts))])


def test_lost_count_is_clamped_to_24_bits() -> None:
    block = rtcp.ReportBlock(1, 0, 2**30, 0, 0, 0, 0)
    (report,) = rtcp.parse(rtcp.build(1, "", sender=None, block=block))
    assert isinstance(report, rtcp.Report)
    assert report.blocks[0].packets_lost == 0x7FFFFF


def test_round_trip_is_arrival_less_lsr_less_dlsr() -> None:
    sent_s = 1000.0
    lsr = rtcp.middle_of(rtcp.ntp_of(sent_s))
    block = rtcp.ReportBlock(1, 0, 0, 0, 0, lsr, rtcp.delay_units(0.2))
    assert rtcp.round_trip_s(block, sent_s + 0.25) == pytest.approx(0.05, abs=1e-4)
    assert rtcp.round_trip_s(rtcp.ReportBlock(1, 0, 0, 0, 0, 0, 0), sent_s) is None
    impossible = rtcp.ReportBlock(1, 0, 0, 0, 0, lsr, rtcp.delay_units(9))
    assert rtcp.round_trip_s(impossible, sent_s + 0.25) is None


SESSION_BPS = 54_400


def intervals(minimum_s: float, session_bps: int, chances: Iterator[float], count: int) -> list[float]:
    """The times between reports on a clock of 10 ms."""
    timing = rtcp.Timing(0.0, minimum_s, 100, lambda: next(chances))
    ticks, sent_s = 0, 0.0
    found: list[float] = []
    while len(found) < count:
        ticks += 1
        now_s = ticks * 0.01
        if now_s >= timing.next_s and timing.is_due(now_s, session_bps):
            timing.sent(now_s, session_bps)
            found.append(now_s - sent_s)
            sent_s = now_s
    return found


def chances(seed: int) -> Iterator[float]:
    generator = random.Random(seed)
    while True:
        yield generator.random()


@pytest.mark.parametrize("minimum_s", [rtcp.MINIMUM_S, rtcp.FEEDBACK_MINIMUM_S])
def test_reconsidered_intervals_have_the_minimum_as_their_mean_and_never_come_in_step(minimum_s: float) -> None:
    first, *later = intervals(minimum_s, 10**9, chances(1), 2000)
    assert minimum_s * 0.5 * 0.5 / 1.22 <= first <= minimum_s * 0.5 * 1.5 / 1.21 + 0.02
    assert sum(later) / len(later) == pytest.approx(minimum_s, rel=0.03)
    assert min(later) >= minimum_s * 0.5 / 1.22
    assert max(later) <= minimum_s * 1.5 / 1.21 + 0.02
    assert len({round(one, 2) for one in later}) > 50


def test_a_narrow_session_reports_as_seldom_as_its_five_percent_allow() -> None:
    session_bps, packet_bytes = 20_000, 128  # with UDP and IP
    mean_s = sum(intervals(rtcp.FEEDBACK_MINIMUM_S, session_bps, chances(2), 1000)) / 1000
    assert mean_s == pytest.approx(2 * packet_bytes * 8 / (0.05 * session_bps), rel=0.05)


def test_the_average_size_follows_the_packets_of_both_sides() -> None:
    def mean_s(size: int) -> float:
        timing = rtcp.Timing(0.0, 0.0, 100, lambda: 0.5)
        for _ in range(200):
            timing.packet(size)
        timing.sent(0.0, SESSION_BPS)
        return timing.next_s

    assert mean_s(1000) / mean_s(100) == pytest.approx(1028 / 128, rel=0.01)


def test_a_compound_packet_is_that_of_the_rfc_bit_by_bit() -> None:
    info = rtcp.SenderInfo(ntp=0x0123456789ABCDEF, rtp_timestamp=0xFEDCBA98, packets=0x11223344, octets=0x55667788)
    block = rtcp.ReportBlock(0xCAFEBABE, 0x40, -2, 0x0001FFFE, 0x77, 0x456789AB, 0x00010000)
    assert rtcp.build(0x01020304, "door", sender=info, block=block, bye=True) == bytes.fromhex(
        "81c8000c 01020304 01234567 89abcdef fedcba98 11223344 55667788"
        "cafebabe 40fffffe 0001fffe 00000077 456789ab 00010000"
        "81ca0003 01020304 0104646f 6f720000"
        "81cb0001 01020304"
    )
    assert rtcp.build(0x01020304, "abc", sender=None, block=None) == bytes.fromhex(
        "80c90001 01020304 81ca0003 01020304 01036162 63000000"
    )


def test_of_a_compound_packet_feedback_and_extensions_are_skipped() -> None:
    report = rtcp.build(9, "x", sender=None, block=BLOCK)
    others = bytes.fromhex(
        "81ce0002 00000009 00000007"  # PLI (RFC 4585)
        "8fce0005 00000009 00000000 52454d42 01080102 00000007"  # REMB
        "8fcd0003 00000009 00000007 00010000"  # transport-wide feedback
        "80cf0004 00000009 04000002 01020304 05060708"  # XR with RRTR (RFC 3611)
        "80cc0002 00000009 6e616d65"  # APP
    )
    assert rtcp.parse(report + others) == [rtcp.Report(9, None, (BLOCK,))]
    assert rtcp.parse(others) == []  # reduced size (RFC 5506): not ours, and no reason to lose anything


def test_padding_may_only_be_at_the_end_in_whole_words() -> None:
    report, bye = bytes.fromhex("80c90001 00000009"), bytes.fromhex("81cb0001 00000009")
    padded = bytes.fromhex("a1cb0002 00000009 00000004")
    assert rtcp.parse(report + padded) == [rtcp.Report(9, None, ()), rtcp.Bye((9,))]
    for wrong in (
        padded + bye,  # padding before the last packet
        bytes.fromhex("a1cb0002 00000009 00000003"),
        bytes.fromhex("a1cb0002 00000009 00000000"),
        bytes.fromhex("a1cb0002 00000009 00000010"),  # longer than the packet
    ):
        with pytest.raises(rtcp.RtcpError):
            rtcp.parse(report + wrong)


@pytest.mark.parametrize(
    "packet",
    [
        "", "80", "80c900", "40c90001 00000009", "00c90001 00000009", "c0c90001 00000009", "80c90000",
        "81c90001 00000009", "80c80001 00000009", "82c90007 00000009" + 24 * "00", "80c90002 00000009",
        "80c90001 00000009 80ca", "9fcb0001 00000009",
    ],
)  # fmt: skip
def test_wrong_versions_and_lengths_are_refused(packet: str) -> None:
    with pytest.raises(rtcp.RtcpError):
        rtcp.parse(bytes.fromhex(packet))


def test_loss_counts_gaps_and_forgives_reordering() -> None:
    reception = Reception(65530)
    for index in (65530, 65532, 65531, 65536, 65537, 65539):
        reception.packet(index, index * 960, index * 0.02)
    assert reception.lost == 10 - 6
    assert reception.take_fraction_lost() == (4 << 8) // 10
    reception.packet(65540, 0, 0)
    assert reception.take_fraction_lost() == 0
    for _ in range(5):
        reception.packet(65540, 0, 0)
    assert reception.lost == -1
    assert reception.take_fraction_lost() == 0


def test_a_sender_that_starts_anew_further_on_has_lost_nothing() -> None:
    reception = Reception(100)
    for index in (100, 102, 20102, 20103):
        reception.packet(index, index * 960, index * 0.02)
    assert reception.lost == 1
    assert reception.take_fraction_lost() == (1 << 8) // 5
    assert reception.highest == 20103


def test_jitter_follows_the_formula_of_rfc_3550_and_survives_a_clock_jump() -> None:
    reception, expected, late = Reception(0), 0.0, 0.0
    for number in range(200):
        previous, late = late, 0.005 if number % 2 else 0.0
        reception.packet(number, 2**32 - 96000 + number * 960 & 0xFFFFFFFF, number * 0.02 + late)
        if number:
            expected += (abs(late - previous) - expected) / 16
    assert reception.jitter_ms == pytest.approx(1000 * expected, rel=1e-6)
    reception.packet(200, 123456789, 4.0)
    assert reception.jitter_ms == pytest.approx(1000 * expected, rel=1e-6)
