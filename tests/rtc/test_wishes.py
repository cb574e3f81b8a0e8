"""What the far end asks of our sound is honoured where it makes sense, and named where it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rtc import wishes
from agent.rtc.wishes import PACKETS_MS, Wishes


def test_all_that_a_description_can_ask_for_is_read() -> None:
    parameters = {
        "minptime": "10", "useinbandfec": "1", "maxaveragebitrate": "24000", "maxplaybackrate": "16000",
        "stereo": "1", "cbr": "1", "usedtx": "1",
    }  # fmt: skip
    assert wishes.read(parameters, ptime="40", maxptime="60") == Wishes(
        ptime_ms=40,
        min_ptime_ms=10,
        max_ptime_ms=60,
        max_bitrate_bps=24000,
        max_playback_rate_hz=16000,
        use_dtx=True,
        stereo=True,
        cbr=True,
        fec=True,
    )


def test_what_is_not_said_is_left_to_us() -> None:
    asked = wishes.read({})
    assert asked == Wishes()
    assert [asked.packet_ms(ms) for ms in PACKETS_MS] == list(PACKETS_MS)


def test_freeswitch_says_packet_times_in_the_fmtp_and_the_line_goes_before() -> None:
    in_fmtp = {"ptime": "20", "maxptime": "40"}
    assert wishes.read(in_fmtp) == Wishes(ptime_ms=20, max_ptime_ms=40)
    assert wishes.read(in_fmtp, ptime="10", maxptime="120") == Wishes(ptime_ms=10, max_ptime_ms=40)


@pytest.mark.parametrize(
    ("ours_ms", "asked", "begins_ms", "grows_to_ms"),
    [
        (20, Wishes(), 20, 60),
        (20, Wishes(ptime_ms=40), 40, 60),
        (10, Wishes(ptime_ms=30), 20, 60),
        (20, Wishes(ptime_ms=5), 10, 60),
        (20, Wishes(ptime_ms=200), 60, 60),
        (60, Wishes(max_ptime_ms=40), 40, 40),
        (60, Wishes(ptime_ms=60, max_ptime_ms=30), 20, 20),
        (20, Wishes(max_ptime_ms=3), 10, 10),
        (10, Wishes(min_ptime_ms=20), 20, 60),
        (10, Wishes(min_ptime_ms=11), 20, 60),
        (10, Wishes(min_ptime_ms=3), 10, 60),
    ],
)
def test_packet_times_are_those_of_our_encoders_within_what_the_far_end_takes(
    ours_ms: int, asked: Wishes, begins_ms: int, grows_to_ms: int
) -> None:
    assert asked.packet_ms(ours_ms) == begins_ms
    assert asked.longest_ms(60) == grows_to_ms


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("minptime", "61"), ("minptime", "-10"), ("minptime", "0x10"), ("minptime", "٢٠"), ("maxptime", "0"),
        ("ptime", "99999999999999999999"), ("ptime", "20ms"), ("maxaveragebitrate", "0"),
        ("maxaveragebitrate", "5999"), ("maxaveragebitrate", "510001"), ("maxaveragebitrate", "32e3"),
        ("maxplaybackrate", "7999"), ("maxplaybackrate", "high"), ("usedtx", "2"), ("usedtx", "yes"),
        ("stereo", "true"), ("cbr", "10"), ("useinbandfec", "-1"),
    ],
)  # fmt: skip
def test_nonsense_is_named_and_changes_nothing(name: str, value: str) -> None:
    assert wishes.read({name: value}) == Wishes(absurd=(name,))


def test_a_minimum_above_the_maximum_is_nonsense_and_the_maximum_counts() -> None:
    assert wishes.read({"minptime": "40"}, maxptime="20") == Wishes(max_ptime_ms=20, absurd=("minptime",))


def test_nonsense_of_the_lines_is_named_by_its_line() -> None:
    assert wishes.read({}, ptime="soon", maxptime="1001").absurd == ("a=ptime", "a=maxptime")


_NAMES = ("ptime", "minptime", "maxptime", "maxaveragebitrate", "maxplaybackrate", "usedtx", "stereo", "cbr")
_VALUES = st.text(max_size=12) | st.integers().map(str)


@given(st.dictionaries(st.sampled_from(_NAMES), _VALUES), _VALUES, _VALUES, st.sampled_from(PACKETS_MS))
def test_whatever_is_said_what_comes_out_can_be_encoded(
    parameters: dict[str, str], ptime: str, maxptime: str, ours_ms: int
) -> None:
    asked = wishes.read(parameters, ptime=ptime, maxptime=maxptime)
    assert asked.packet_ms(ours_ms) in PACKETS_MS
    assert asked.packet_ms(ours_ms) <= max(PACKETS_MS[0], asked.max_ptime_ms or PACKETS_MS[-1], asked.min_ptime_ms or 0)
    assert asked.longest_ms(60) in PACKETS_MS
    assert asked.max_bitrate_bps is None or 6000 <= asked.max_bitrate_bps <= 510_000
    assert asked.max_playback_rate_hz is None or asked.max_playback_rate_hz >= 8000
    assert set(asked.absurd) <= {*_NAMES, "a=ptime", "a=maxptime"}  # never a piece of the far end's text
