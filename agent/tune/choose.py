"""The numbers of a profile, from what was measured. Pure; every choice says why."""

from __future__ import annotations

from dataclasses import dataclass

from agent.tune.figures import Figures, SizeFigures
from hardware.profile import Profile

ROOM_PERIODS = 2  # that the buffer holds beside the fill: one being written, one of slack
ONE_CLOCK_PPM = 1.0  # two crystals are 5 to 100 ppm apart; what is closer than this is one of them
ERRORS_APART = 3.0  # standard errors, before two clocks are believed
NO_ECHO_DB = -50.0  # sound that comes back so much below what was played needs no canceller
LEAST_ERLE_DB = 6.0  # with less, a canceller does more harm than good
LIKE_THE_BEST_DB = 2.0  # no reason to leave the profile's stage
LOUD_NOISE_DBFS = -50.0  # a floor at which a listener hears the room all the time


@dataclass(frozen=True)
class Choice:
    """One value of the profile, and why it is this one."""

    key: str
    value: int | bool | str
    why: str


def choose(figures: Figures, base: Profile) -> list[Choice]:
    """What the profile `base` should say for this device. What could not be measured stays as it is."""
    size = best_size(figures.sizes, base)
    choices = [Choice("rate_hz", figures.rate_hz, "as measured")]
    if size is None:
        why = "not measured" if not figures.sizes else "no size held under load: another card, or a quieter machine"
        choices += [
            Choice("period_frames", figures.period_frames, why),
            Choice("periods", figures.periods, why),
            Choice("fill_frames", figures.fill_frames, why),
        ]
    else:
        fill = size.fill_frames or figures.fill_frames
        periods = max(base.periods, -(-fill // size.period_frames) + ROOM_PERIODS)
        choices += [
            Choice("period_frames", size.period_frames, _why_period(size, base)),
            Choice("periods", periods, "room for the fill and two periods more"),
            Choice("fill_frames", fill, f"the smallest without an xrun, {_tries(size)}"),
        ]
    return [*choices, _one_clock(figures, base), _echo_canceller(figures, base), _noise(figures, base)]


def best_size(sizes: list[SizeFigures], base: Profile) -> SizeFigures | None:
    """The profile's own period where it held, else the next longer one, else the next shorter."""
    held = [size for size in sizes if size.fill_frames is not None]
    longer = [size for size in held if size.period_frames >= base.period_frames]
    if longer:
        return min(longer, key=lambda size: size.period_frames)
    return max(held, key=lambda size: size.period_frames, default=None)


def _why_period(size: SizeFigures, base: Profile) -> str:
    if size.period_frames == base.period_frames:
        return f"as in {base.name}: it held under load"
    return f"that of {base.name} ({base.period_frames}) did not hold under load"


def _tries(size: SizeFigures) -> str:
    return ", ".join(f"{fill} frames: {xruns}" for fill, xruns in size.tries) + " xruns"


def _one_clock(figures: Figures, base: Profile) -> Choice:
    drift = figures.drift
    if drift is None:
        return Choice("one_clock", base.one_clock, f"as in {base.name}: the drift could not be measured")
    apart = abs(drift.ppm) > max(ONE_CLOCK_PPM, ERRORS_APART * drift.error_ppm)
    return Choice("one_clock", not apart, f"the clocks are {drift.ppm:+.2f} ppm apart (error {drift.error_ppm:.2f})")


def _echo_canceller(figures: Figures, base: Profile) -> Choice:
    measured = {echo.asked: echo.erle_db for echo in figures.echo if echo.erle_db is not None}
    heard_db = max((loud.gain_db for loud in figures.loudness if loud.gain_db is not None), default=None)
    if heard_db is not None and heard_db < NO_ECHO_DB:
        return Choice("echo_canceller", "off", f"the speaker comes back {heard_db:.0f} dB down: nothing to cancel")
    if not measured:
        return Choice("echo_canceller", base.echo_canceller, f"as in {base.name}: nothing could be measured")
    best = max(measured, key=lambda stage: measured[stage])
    if measured[best] < LEAST_ERLE_DB:
        why = f"the best canceller takes {measured[best]:.0f} dB away: one side at a time has to speak"
        return Choice("echo_canceller", "half_duplex", why)
    stage = best
    if measured.get(base.echo_canceller, 0.0) >= measured[best] - LIKE_THE_BEST_DB:
        stage = base.echo_canceller
    told = ", ".join(f"{name} {erle_db:.1f} dB" for name, erle_db in measured.items())
    return Choice("echo_canceller", stage, f"ERLE {told}")


def _noise(figures: Figures, base: Profile) -> Choice:
    if figures.noise is None or figures.noise.dead:
        return Choice("noise_suppression", base.noise_suppression, f"as in {base.name}")
    floor = figures.noise.floor_dbfs
    if floor > LOUD_NOISE_DBFS and base.noise_suppression in {"off", "low"}:
        return Choice("noise_suppression", "moderate", f"the room's noise is at {floor:.0f} dBFS")
    return Choice("noise_suppression", base.noise_suppression, f"as in {base.name}; noise at {floor:.0f} dBFS")
