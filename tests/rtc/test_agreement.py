"""What an offer lists and what two descriptions agree on: codecs, DTMF, directions, channels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.rtc import sdp
from agent.rtc.agreement import Agreement, agree_on_answer, agree_on_offer, offered_codecs, offered_direction
from agent.rtc.aiortc_seams import ExportedKeys
from agent.rtc.events import Handover, PeerSettings
from tests.rtc.helpers import connect, ends

FREESWITCH_OFFER = (Path(__file__).parent / "sdp" / "freeswitch-offer.sdp").read_bytes().decode()
KEYS = ExportedKeys("SRTP_AEAD_AES_128_GCM", b"t", b"r")
PLAIN = PeerSettings()


def handed_over(agreement: Agreement) -> Handover:
    return agreement.handover(3, None, KEYS, 1, "c")


def our_offer(settings: PeerSettings = PLAIN) -> str:
    return sdp.write(
        sdp.LocalAudio(
            session_id=1,
            ice_ufrag="abcd",
            ice_pwd="x" * 22,
            fingerprint=sdp.Fingerprint("sha-256", "AA"),
            candidates=(),
            setup="actpass",
            ssrc=1,
            cname="c",
            codecs=offered_codecs(settings),
            stereo=settings.stereo,
            direction=offered_direction(settings),
        )
    )


def offer_with_events(*events: str) -> str:
    """FreeSWITCH's offer, whose telephone-events are these, as "payload type rate"."""
    numbers = " ".join(event.split()[0] for event in events)
    lines = "".join(f"a=rtpmap:{pt} telephone-event/{rate}\r\n" for pt, rate in (event.split() for event in events))
    return re.sub(r"(m=audio [^\r]*)\r\n", rf"\1 {numbers}\r\n", FREESWITCH_OFFER) + lines


def formats(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("m=", "a=rtpmap", "a=fmtp"))]


def test_an_offer_lists_telephone_event_after_the_codecs_at_each_of_their_rates() -> None:
    assert formats(our_offer()) == [
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 110 126",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:110 telephone-event/48000",
        "a=rtpmap:126 telephone-event/8000",
    ]
    assert "telephone-event/48000" not in our_offer(PeerSettings(codecs=("g722",)))
    assert "telephone-event" not in our_offer(PeerSettings(dtmf=False))


@pytest.mark.parametrize(
    ("codecs", "events", "wanted"),
    [
        (("opus",), ["101 8000", "102 48000"], 102),
        (("opus",), ["101 8000"], None),  # another clock rate: the durations would be wrong (RFC 4733 2.1)
        (("pcmu",), ["101 8000", "102 48000"], 101),
        (("pcmu",), ["102 48000"], None),
        (("opus",), [], None),
    ],
)
def test_an_offered_telephone_event_is_answered_when_its_clock_is_the_codecs(
    codecs: tuple[str, ...], events: list[str], wanted: int | None
) -> None:
    agreement = agree_on_offer(PeerSettings(codecs=codecs), sdp.parse(offer_with_events(*events)))
    events_answered = [one.payload_type for one in agreement.answered_codecs() if one.name == "telephone-event"]
    assert events_answered == ([] if wanted is None else [wanted])
    handover = handed_over(agreement)
    assert (handover.dtmf_payload_type, handover.remote_dtmf_payload_type) == (wanted, wanted)


def test_an_answers_own_numbers_are_those_we_send_and_our_offers_are_those_we_get() -> None:
    answer = sdp.parse(offer_with_events("101 8000", "102 48000").replace("a=setup:actpass", "a=setup:active"))
    handover = handed_over(agree_on_answer(PLAIN, answer, offered_codecs(PLAIN)))
    assert (handover.payload_type, handover.remote_payload_type) == (96, 111)
    assert (handover.dtmf_payload_type, handover.remote_dtmf_payload_type) == (102, 110)
    without = PeerSettings(dtmf=False)
    handover = handed_over(agree_on_answer(without, answer, offered_codecs(without)))
    assert (handover.dtmf_payload_type, handover.remote_dtmf_payload_type) == (None, None)


def test_the_seeds_far_end_without_a_common_codec_is_refused() -> None:
    with pytest.raises(sdp.SdpError, match="none of G722"):
        agree_on_answer(PLAIN, sdp.parse(FREESWITCH_OFFER), offered_codecs(PeerSettings(codecs=("g722",))))


@pytest.mark.parametrize(
    ("receive_only", "remote", "ours", "sends", "receives"),
    [
        (False, "sendrecv", "sendrecv", True, True),
        (False, "sendonly", "recvonly", False, True),
        (False, "recvonly", "sendonly", True, False),
        (False, "inactive", "inactive", False, False),
        (True, "sendrecv", "recvonly", False, True),
        (True, "sendonly", "recvonly", False, True),
        (True, "recvonly", "inactive", False, False),
    ],
)
def test_directions_after_both_sides_have_spoken(
    receive_only: bool, remote: str, ours: str, sends: bool, receives: bool
) -> None:
    text = re.sub(r"a=sendrecv\r\n", "", FREESWITCH_OFFER) + f"a={remote}\r\n"
    agreement = agree_on_offer(PeerSettings(receive_only=receive_only), sdp.parse(text))
    handover = handed_over(agreement)
    assert (agreement.direction, handover.sends, handover.receives) == (ours, sends, receives)


def test_without_a_microphone_we_offer_to_receive_and_announce_no_stream() -> None:
    text = our_offer(PeerSettings(receive_only=True))
    assert "a=recvonly\r\n" in text
    assert "a=msid" not in text
    assert "a=msid" in our_offer()


def test_two_channels_take_both_sides() -> None:
    stereo = PeerSettings(stereo=True)
    assert "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1\r\n" in our_offer(stereo)
    remote = sdp.parse(FREESWITCH_OFFER)  # it has stereo=1
    assert handed_over(agree_on_offer(stereo, remote)).stereo
    assert not handed_over(agree_on_offer(PLAIN, remote)).stereo
    assert not handed_over(agree_on_offer(stereo, sdp.parse(FREESWITCH_OFFER.replace("stereo=1", "stereo=0")))).stereo


def offer_with_fmtp(fmtp: str, *lines: str) -> str:
    text = re.sub(r"(a=fmtp:96 )[^\r]*", rf"\1{fmtp}", FREESWITCH_OFFER).replace("a=ptime:20\r\n", "")
    return text + "".join(f"{line}\r\n" for line in lines)


def asked(fmtp: str, *lines: str, settings: PeerSettings = PLAIN) -> Handover:
    return handed_over(agree_on_offer(settings, sdp.parse(offer_with_fmtp(fmtp, *lines))))


def test_the_far_ends_fmtp_reaches_the_media_process() -> None:
    handover = asked("minptime=40;maxplaybackrate=16000;cbr=1;usedtx=1;maxaveragebitrate=20000", "a=maxptime:40")
    assert (handover.ptime_ms, handover.max_ptime_ms) == (40, 40)
    assert (handover.max_playback_rate_hz, handover.cbr, handover.dtx) == (16000, True, True)
    assert (handover.max_bitrate_bps, handover.fec) == (20000, False)
    silent = asked("useinbandfec=1")
    assert (silent.ptime_ms, silent.max_ptime_ms, silent.dtx, silent.cbr) == (20, 60, None, False)
    assert (silent.max_playback_rate_hz, silent.max_bitrate_bps, silent.fec) == (None, None, True)


def test_a_packet_time_asked_for_goes_before_ours() -> None:
    assert asked("useinbandfec=1", "a=ptime:40").ptime_ms == 40
    assert asked("useinbandfec=1", settings=PeerSettings(ptime_ms=10)).ptime_ms == 10
    assert asked("useinbandfec=1", "a=ptime:40", settings=PeerSettings(ptime_ms=10)).ptime_ms == 40


def test_packets_of_other_codecs_grow_only_where_the_far_end_says_how_far() -> None:
    pcmu = PeerSettings(codecs=("pcmu",))
    assert asked("useinbandfec=1", settings=pcmu).max_ptime_ms == 20
    assert asked("useinbandfec=1", "a=maxptime:40", settings=pcmu).max_ptime_ms == 40


def test_nonsense_in_the_fmtp_is_one_line_of_the_journal_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    handover = asked("minptime=evil text;stereo=maybe;maxaveragebitrate=1", "a=ptime:-1")
    assert (handover.ptime_ms, handover.max_bitrate_bps, handover.stereo) == (20, None, False)
    told = [record.getMessage() for record in caplog.records if record.name == "agent.rtc.agreement"]
    assert len(told) == 1
    for name in ("minptime", "stereo", "maxaveragebitrate", "a=ptime"):
        assert name in told[0]
    assert "evil" not in told[0]


def test_our_own_offer_says_what_we_take() -> None:
    text = our_offer()
    assert "a=ptime:20\r\na=maxptime:120\r\n" in text
    assert "minptime=10;useinbandfec=1\r\n" in text


def test_a_profile_without_feedback_keeps_the_reports_rare() -> None:
    assert asked("useinbandfec=1").feedback
    plain = offer_with_fmtp("useinbandfec=1").replace("RTP/SAVPF", "RTP/SAVP")
    assert not handed_over(agree_on_offer(PLAIN, sdp.parse(plain))).feedback


async def test_two_peers_agree_on_stereo_both_ways() -> None:
    stereo = PeerSettings(loopback=True, stereo=True)
    for settings, agreed in (((stereo, stereo), True), ((stereo, PeerSettings(loopback=True)), False)):
        async with ends(*settings) as (caller, callee):
            assert [one.handover.stereo for one in await connect(caller, callee)] == [agreed, agreed]


async def test_two_peers_agree_on_dtmf_both_ways() -> None:
    settings = PeerSettings(loopback=True)
    async with ends(settings, settings) as (caller, callee):
        for connected in await connect(caller, callee):
            handover = connected.handover
            assert (handover.dtmf_payload_type, handover.remote_dtmf_payload_type) == (110, 110)


def test_what_the_answer_lists_besides_its_first_codec_may_come_as_well() -> None:
    ours = offered_codecs(PLAIN)
    remote = sdp.parse(our_offer(PeerSettings(codecs=("pcma", "opus"))))
    agreement = agree_on_answer(PLAIN, remote, ours)
    assert handed_over(agreement).codec == "pcma"
    assert handed_over(agreement).other_codecs == {"opus": 111}


@pytest.mark.parametrize(
    ("codecs", "answered"),
    [
        (("opus", "pcmu", "pcma"), [96, 0, 8]),
        (("opus",), [96]),
        (("pcma", "g722", "opus"), [8, 96]),
    ],
)
def test_an_answer_keeps_every_codec_that_both_speak_in_the_order_that_is_configured_here(
    codecs: tuple[str, ...], answered: list[int]
) -> None:
    offer = FREESWITCH_OFFER.replace("SAVPF 96 0 8", "SAVPF 0 8 96")
    assert "SAVPF 0 8 96" in offer
    agreement = agree_on_offer(PeerSettings(codecs=codecs, dtmf=False), sdp.parse(offer))
    assert [one.payload_type for one in agreement.answered_codecs()] == answered
    handover = handed_over(agreement)
    assert (handover.codec, handover.payload_type) == (codecs[0], answered[0])
    assert sorted(handover.other_codecs.values()) == sorted(answered[1:])
