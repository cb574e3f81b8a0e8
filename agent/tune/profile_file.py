"""Writes what was chosen as a profile of `hardware.profile`: a commented TOML, in place all at once."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from agent.tune.choose import Choice
from agent.tune.figures import Figures
from hardware.mixer import MixerWishes
from hardware.pcm import Granted
from hardware.profile import Profile

KEPT = ("plug", "gain_control")  # of the profile that was begun with, besides what was chosen
FOUND_BY = ("cards", "usb_ids", "models", "hats", "overlays")
TEXT_MODE = 0o644  # whoever runs the daemon must be able to read it


def profile_text(figures: Figures, choices: Sequence[Choice], base: Profile, when: datetime, name: str) -> str:
    """The profile `name`. Its comments hold every figure that was measured, and when.

    Under the name of the profile that was begun with it takes that one's place, also where that is chosen by the
    hardware that is found; under another it is chosen by its name only.
    """
    found_by = FOUND_BY if name == base.name else ()
    lines = [
        f"description = {_quoted(f'Tuned on this device on {when:%Y-%m-%d}, from {base.name}')}",
        "",
        *(f"# {line}" for line in summary(figures, when)),
        "",
        f"capture = {_quoted(figures.capture)}",
        f"playback = {_quoted(figures.playback)}",
        *(f"{key} = {_value(getattr(base, key))}" for key in (*found_by, *KEPT) if getattr(base, key)),
    ]
    for choice in choices:
        lines += [f"# {choice.key}: {choice.why}", f"{choice.key} = {_value(choice.value)}"]
    return "\n".join([*lines, *_mixer(base.mixer), ""])


def summary(figures: Figures, when: datetime) -> list[str]:
    """Everything that was measured, a line each, for the comments of the profile and for the screen."""
    return [
        f"Measured by `callpoint tune` at {when:%Y-%m-%d %H:%M} local time.",
        f"microphone {figures.capture}, speaker {figures.playback}, {figures.rate_hz} Hz",
        *_level_lines(figures),
        *_delay_lines(figures),
        *_size_lines(figures),
        *_echo_lines(figures),
        *(f"note: {note}" for note in figures.notes),
    ]


def _level_lines(figures: Figures) -> Iterator[str]:
    noise = figures.noise
    if noise is not None and noise.dead:
        yield "noise: digital silence"
    elif noise is not None:
        yield (
            f"noise floor {noise.floor_dbfs:.1f} dBFS, mean {noise.rms_dbfs:.1f}, peak {noise.peak_dbfs:.1f}, "
            f"offset {noise.offset:+.5f} of full scale"
        )
    for loud in figures.loudness:
        heard = "not heard" if loud.gain_db is None else f"heard {loud.gain_db:+.1f} dB"
        clipped = f", {loud.clipped_samples} samples clipped" if loud.clipped_samples else ""
        yield f"sweep at {loud.played_dbfs:.0f} dBFS: {heard}, peak {loud.peak_dbfs:.1f} dBFS{clipped}"


def _delay_lines(figures: Figures) -> Iterator[str]:
    if figures.delay_ms is not None:
        yield (
            f"delay from the speaker's queue to the microphone {figures.delay_ms:.2f} ms (within "
            f"{figures.delay_spread_ms or 0.0:.2f} ms), from the write {figures.round_trip_ms or 0.0:.2f} ms at "
            f"{figures.fill_frames} frames ahead; {figures.heard} of {figures.played} sweeps heard"
        )
    elif figures.played:
        yield f"delay: none of {figures.played} sweeps was heard"
    for name, drift in (("sound", figures.drift_by_sound), ("the card's counts", figures.drift_by_position)):
        if drift is not None:
            yield f"clock drift by {name}: {drift.ppm:+.2f} ppm (error {drift.error_ppm:.2f}, {drift.points} points)"
    yield f"xruns without load: {figures.xruns}"


def _size_lines(figures: Figures) -> Iterator[str]:
    if figures.real_time:
        yield f"not real-time ({figures.real_time}): with LimitRTPRIO=10 the daemon may do better"
    if figures.sizes:
        yield f"under load of {figures.load_processes} busy processes:"
    for size in figures.sizes:
        yield f"  {_size_line(size.period_frames, size.capture, size.playback)}"
        tries = ", ".join(f"{fill} frames ahead: {xruns} xruns" for fill, xruns in size.tries) or "no run"
        best = "none held" if size.fill_frames is None else f"smallest stable {size.fill_frames}"
        yield f"    {tries}; {best}{f'; {size.problem}' if size.problem else ''}"


def _echo_lines(figures: Figures) -> Iterator[str]:
    for echo in figures.echo:
        erle = "not measured" if echo.erle_db is None else f"{echo.erle_db:.1f} dB"
        delay = "" if echo.delay_ms is None else f", echo after {echo.delay_ms:.1f} ms"
        yield f"echo canceller {echo.asked} ({echo.stage} at work): ERLE {erle}{delay}"


def _size_line(period_frames: int, capture: Granted | None, playback: Granted | None) -> str:
    parts = [f"period {period_frames}"]
    for noun, card in (("microphone", capture), ("speaker", playback)):
        if card is not None:
            parts.append(f"{noun} gives {card.period_frames} of {card.buffer_frames}")
    return ", ".join(parts)


def _mixer(wishes: MixerWishes) -> Iterator[str]:
    """The mixer's controls stay those of the profile that was begun with."""
    if wishes == MixerWishes():
        return
    yield "\n[mixer]"
    for key in ("speaker", "microphone", "volume", "gain"):
        value = getattr(wishes, key)
        if value is not None and value != ():
            yield f"{key} = {_value(value)}"
    for control in wishes.controls:
        kind = next(key for key in ("percent", "switch", "value") if getattr(control, key) is not None)
        yield f"\n[[mixer.controls]]\nname = {_value(control.names)}\n{kind} = {_value(control.wish)}"


def write_whole(path: Path, text: str) -> None:
    """Put `text` at `path`, whole or not at all. Raises `OSError`."""
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(made).chmod(TEXT_MODE)
        Path(made).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(made).unlink()
        raise


def _quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped) + '"'


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(inner) for inner in value)}]"
    return _quoted(value) if isinstance(value, str) else str(value)
