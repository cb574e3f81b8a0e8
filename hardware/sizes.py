"""A sound card's rate, period and buffer, and how much is written ahead: what fits together.

The numbers are a profile's, and the config may set some of them anew. One rule holds for both: with numbers that do
not fit, the speaker stays mute or stutters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

WHOLE_PERIODS = "a second must be a whole number of periods"
OTHERWISE = "the speaker runs dry or its buffer is full otherwise"


@dataclass(frozen=True)
class Sizes:
    """What is asked of a sound card; a frame is one instant."""

    rate_hz: int
    period_frames: int
    periods: int  # of the card's buffer
    fill_frames: int  # written ahead for the speaker

    @property
    def has_whole_periods(self) -> bool:
        return self.period_frames > 0 and self.rate_hz % self.period_frames == 0

    @property
    def most_fill_frames(self) -> int:
        """With a period more the buffer must not be full: that is the largest write."""
        return (self.periods - 1) * self.period_frames

    @property
    def fill_fits(self) -> bool:
        return self.period_frames < self.fill_frames <= self.most_fill_frames

    def ms(self, frames: int) -> float:
        return 1000 * frames / self.rate_hz


class SizeWishes(Protocol):
    """What the config sets of them (its table `[audio]`); None: as the profile says."""

    @property
    def rate_hz(self) -> int | None: ...
    @property
    def period_ms(self) -> int | None: ...
    @property
    def periods(self) -> int | None: ...
    @property
    def fill_ms(self) -> int | None: ...


class Sized(Protocol):
    """A profile's numbers: `hardware.profile.Profile`."""

    @property
    def name(self) -> str: ...
    @property
    def rate_hz(self) -> int: ...
    @property
    def period_frames(self) -> int: ...
    @property
    def periods(self) -> int: ...
    @property
    def fill_frames(self) -> int: ...


def own_sizes(profile: Sized, rate_hz: int | None = None) -> Sizes:
    """The profile's own, at another rate as long in time."""
    rate = rate_hz or profile.rate_hz
    return Sizes(
        rate_hz=rate,
        period_frames=profile.period_frames * rate // profile.rate_hz,
        periods=profile.periods,
        fill_frames=profile.fill_frames * rate // profile.rate_hz,
    )


def wished_sizes(profile: Sized, wishes: SizeWishes, rate_hz: int | None = None) -> Sizes:
    """The config's over the profile's; `rate_hz` is a single call's."""
    own = own_sizes(profile, rate_hz or wishes.rate_hz)
    return Sizes(
        rate_hz=own.rate_hz,
        period_frames=own.rate_hz * wishes.period_ms // 1000 if wishes.period_ms else own.period_frames,
        periods=wishes.periods or own.periods,
        fill_frames=own.rate_hz * wishes.fill_ms // 1000 if wishes.fill_ms else own.fill_frames,
    )


def misfit(profile: Sized, wishes: SizeWishes) -> tuple[str, str] | None:
    """The key of the config that does not fit this profile, and a sentence with the cure; None where all is well."""
    keys = [key for key in ("fill_ms", "period_ms", "periods", "rate_hz") if getattr(wishes, key) is not None]
    if not keys:
        return None  # the profile's file has been checked by itself
    sizes = wished_sizes(profile, wishes)
    if not sizes.has_whole_periods:
        # Whatever period_ms may be, it is one.
        return "rate_hz", f"{WHOLE_PERIODS}, and is not with this profile ({profile.name}): set period_ms = 10, too"
    if sizes.fill_fits:
        return None
    period_ms, most_ms, fill_ms = map(sizes.ms, (sizes.period_frames, sizes.most_fill_frames, sizes.fill_frames))
    return keys[0], (
        f"with {sizes.periods} periods of {period_ms:g} ms (profile {profile.name}) fill_ms must be more than "
        f"{period_ms:g} and at most {most_ms:g}, and is {fill_ms:g}; {OTHERWISE}"
    )
