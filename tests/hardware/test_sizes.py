"""Which rates, periods and fills fit together: the config's over a profile's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from hardware.profile import all_profiles, load_profile
from hardware.sizes import OTHERWISE, misfit, wished_sizes

NAME, BOUNDS = "profile usb-speakerphone", "fill_ms must be more than 10 and at most 30"
PHONE = load_profile("usb-speakerphone")


@dataclass(frozen=True)
class Wishes:
    rate_hz: int | None = None
    period_ms: int | None = None
    periods: int | None = None
    fill_ms: int | None = None


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(),
        Wishes(fill_ms=30),
        Wishes(fill_ms=60, periods=7),
        Wishes(period_ms=20, fill_ms=21),
        Wishes(rate_hz=16_000, period_ms=20, fill_ms=60),
        Wishes(rate_hz=8_000),
    ],
)
def test_what_the_card_can_hold_is_good(wishes: Wishes) -> None:
    assert misfit(PHONE, wishes) is None
    sizes = wished_sizes(PHONE, wishes)
    assert sizes.period_frames < sizes.fill_frames
    assert sizes.fill_frames + sizes.period_frames <= sizes.periods * sizes.period_frames


@pytest.mark.parametrize(
    ("wishes", "key", "words"),
    [
        (Wishes(fill_ms=60), "fill_ms", f"with 4 periods of 10 ms ({NAME}) {BOUNDS}, and is 60; {OTHERWISE}"),
        (Wishes(fill_ms=10), "fill_ms", "more than 10 and at most 30, and is 10"),
        (Wishes(fill_ms=5), "fill_ms", "more than 10 and at most 30, and is 5"),
        (Wishes(period_ms=20), "period_ms", "fill_ms must be more than 20 and at most 60, and is 20"),
        (Wishes(period_ms=5), "period_ms", "more than 5 and at most 15, and is 20"),
        (Wishes(rate_hz=8_000, fill_ms=60), "fill_ms", "at most 30, and is 60"),
    ],
)  # fmt: skip
def test_what_it_cannot_hold_is_named_with_the_bounds(wishes: Wishes, key: str, words: str) -> None:
    fault = misfit(PHONE, wishes)
    assert fault is not None
    assert fault[0] == key
    assert words in fault[1]


def test_a_rate_at_which_a_second_is_no_whole_number_of_the_profiles_periods_is_named() -> None:
    odd = replace(PHONE, period_frames=375, fill_frames=750)  # 128 a second
    fault = misfit(odd, Wishes(rate_hz=8_000, fill_ms=16))
    assert fault is not None
    assert fault[0] == "rate_hz"
    assert fault[1].startswith("a second must be a whole number of periods, and is not with this profile (usb-sp")
    assert fault[1].endswith("set period_ms = 10, too")
    assert misfit(odd, Wishes(rate_hz=8_000, fill_ms=16, period_ms=10)) is None


@pytest.mark.parametrize("profile", all_profiles()[0].values(), ids=lambda profile: profile.name)
@pytest.mark.parametrize("rate_hz", [8000, 12000, 16000, 24000, 48000])
def test_the_shipped_profiles_fit_at_every_rate(profile: object, rate_hz: int) -> None:
    assert misfit(profile, Wishes(rate_hz=rate_hz)) is None  # type: ignore[arg-type]
