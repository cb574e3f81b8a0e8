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


def test_report_interval_is_randomised_around_its_mean() -> None:
    first = [rtcp.interval_s(first=True) for _ in range(500)]
    later = [rtcp.interval_s(first=False) for _ in range(500)]
    assert 1.0 < min(first) < max(first) < 3.1
    assert 2.0 < min(later) < 2.6
    assert 5.6 < max(later) < 6.2


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
