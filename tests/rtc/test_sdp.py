"""What is read from the descriptions that gateways and browsers really send, and what is written back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rtc import sdp

SAMPLES = Path(__file__).parent / "sdp"


def sample(name: str) -> str:
    return (SAMPLES / f"{name}.sdp").read_bytes().decode()


def local(**changes: object) -> sdp.LocalAudio:
    values: dict[str, object] = {
        "session_id": 7,
        "ice_ufrag": "abcd",
        "ice_pwd": "x" * 22,
        "fingerprint": sdp.Fingerprint("sha-256", "AA:BB"),
        "candidates": ("f 1 udp 2130706431 127.0.0.1 5000 typ host", "f 1 udp 100 203.0.113.9 6000 typ srflx"),
        "setup": "actpass",
        "ssrc": 1234,
        "cname": "c",
    }
    return sdp.LocalAudio(**(values | changes))  # type: ignore[arg-type]


def test_a_freeswitch_offer_is_read_although_it_has_no_mid_no_bundle_and_the_plain_savpf_profile() -> None:
    remote = sdp.parse(sample("freeswitch-offer"))
    assert (remote.mid, remote.bundle, remote.profile) == (None, False, "RTP/SAVPF")
    assert remote.setup == "actpass"
    assert remote.common(["opus"])[0] == sdp.Codec(
        96,
        "opus",
        48000,
        2,
        {
            "useinbandfec": "1",
            "maxaveragebitrate": "30000",
            "maxplaybackrate": "48000",
            "ptime": "20",
            "minptime": "10",
            "maxptime": "40",
            "stereo": "1",
        },
    )
    assert remote.wishes(remote.common(["opus"])[0]).max_ptime_ms == 40
    assert [codec.name for codec in remote.codecs] == ["opus", "pcmu", "pcma"]
    assert len(remote.candidates) == 2
    assert remote.ptime == "20"


def test_a_freeswitch_answer_is_read() -> None:
    remote = sdp.parse(sample("freeswitch-answer"))
    assert remote.setup == "active"
    assert remote.common(["opus"])[0].payload_type == 96
    assert remote.fingerprints[0].algorithm == "sha-256"


def test_a_browser_offer_is_read_with_its_mid_and_bundle() -> None:
    remote = sdp.parse(sample("chrome-offer"))
    assert (remote.mid, remote.bundle) == ("0", True)
    assert remote.common(["opus"])[0].payload_type == 111
    assert remote.common(["opus"])[0].parameters == {"minptime": "10", "useinbandfec": "1"}


def test_what_is_written_reads_back_the_same() -> None:
    remote = sdp.parse(sdp.write(local()))
    assert (remote.ice_ufrag, remote.ice_pwd, remote.setup) == ("abcd", "x" * 22, "actpass")
    assert remote.fingerprints == (sdp.Fingerprint("sha-256", "AA:BB"),)
    assert remote.candidates == local().candidates
    assert (remote.mid, remote.bundle, remote.ptime) == ("0", True, "20")
    assert remote.common(["opus"])[0].parameters == {"minptime": "10", "useinbandfec": "1"}


def test_an_answer_to_an_offer_without_mid_has_none_either() -> None:
    text = sdp.write(local(mid=None, bundle=False, profile="RTP/SAVPF", codecs=(sdp.Codec(96, "opus", 48000, 2),)))
    assert "a=mid" not in text
    assert "BUNDLE" not in text
    assert "m=audio 6000 RTP/SAVPF 96\r\n" in text


def test_the_default_address_is_the_one_most_likely_to_be_reached_from_outside() -> None:
    text = sdp.write(local())
    assert "m=audio 6000 " in text
    assert "c=IN IP4 203.0.113.9\r\n" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "expected v=0"),
        (lambda text: text.replace("m=audio", "m=video"), "no m=audio line in use"),
        (lambda text: text.replace("m=audio 17588", "m=audio 0"), "no m=audio line in use"),
        (lambda text: text.replace("RTP/SAVPF", "RTP/AVP"), "not DTLS-SRTP"),
        (lambda text: text.replace("a=ice-pwd", "a=x"), "a=ice-ufrag or a=ice-pwd is missing"),
        (lambda text: text.replace("a=fingerprint", "a=x"), "a=fingerprint is missing"),
        (lambda text: text + "a=x\r\n" * 20000, "at most"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused_with_the_part_that_is_wrong(change, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(sdp.SdpError, match=message):
        sdp.parse(change(sample("freeswitch-offer")))


def test_a_far_end_without_opus_is_named_with_what_it_speaks() -> None:
    remote = sdp.parse(sample("freeswitch-offer").replace("opus/48000/2", "G722/8000"))
    with pytest.raises(sdp.SdpError, match="speaks g722, pcma, pcmu, and none of opus; allow one"):
        remote.common(["opus"])[0]


def test_our_offer_lists_the_codecs_in_order_and_only_opus_has_parameters() -> None:
    text = sdp.write(local(codecs=sdp.offered(["pcma", "opus", "pcmu"])))
    lines = [line for line in text.splitlines() if line.startswith(("m=", "a=rtpmap", "a=fmtp"))]
    assert lines == [
        "m=audio 6000 UDP/TLS/RTP/SAVPF 8 111 0",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:0 PCMU/8000",
    ]


def test_of_the_far_ends_codecs_those_that_are_allowed_are_common_in_its_order() -> None:
    remote = sdp.parse(sample("freeswitch-offer"))
    assert [one.name for one in remote.common(["pcma", "pcmu", "opus"])] == ["opus", "pcmu", "pcma"]
    assert [one.name for one in remote.common(["pcma", "pcmu"])] == ["pcmu", "pcma"]
    assert remote.common(["pcma"]) == (sdp.Codec(8, "pcma", 8000),)


def test_static_payload_types_need_no_rtpmap() -> None:
    text = sample("freeswitch-offer").replace("a=rtpmap:8 ", "a=x:").replace("a=rtpmap:0 ", "a=x:")
    assert sdp.parse(text).common(["pcma"])[0].payload_type == 8


def test_the_bandwidth_limit_stands_right_after_the_address() -> None:
    assert "c=IN IP4 203.0.113.9\r\nb=AS:40\r\n" in sdp.write(local(bandwidth_kbps=40))
    assert "b=" not in sdp.write(local())


@pytest.mark.parametrize(
    ("line", "limit_kbps"), [("b=AS:40", 40), ("b=AS:0", None), ("b=AS:x", None), ("b=TIAS:40000", None)]
)
def test_the_far_ends_bandwidth_limit_is_read_from_its_audio_line_or_its_session(
    line: str, limit_kbps: int | None
) -> None:
    plain = sample("freeswitch-offer")
    assert sdp.parse(plain + line + "\r\n").bandwidth_kbps == limit_kbps
    assert sdp.parse(plain.replace("t=0 0", line + "\r\nt=0 0")).bandwidth_kbps == limit_kbps
    assert sdp.parse(plain).bandwidth_kbps is None


def test_passwords_stay_out_of_reprs() -> None:
    remote = sdp.parse(sample("freeswitch-offer"))
    assert remote.ice_pwd not in repr(remote)
    assert "x" * 22 not in repr(local())


_LINES = sample("freeswitch-offer").splitlines() + sample("chrome-offer").splitlines()


@given(st.lists(st.one_of(st.sampled_from(_LINES), st.text(max_size=40)), max_size=60))
def test_no_text_whatever_raises_anything_but_an_sdp_error(lines: list[str]) -> None:
    try:
        remote = sdp.parse("\r\n".join(["v=0", *lines]))
        remote.wishes(remote.common(["opus"])[0])
    except sdp.SdpError as error:
        assert str(error)
