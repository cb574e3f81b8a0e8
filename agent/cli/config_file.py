"""What the commands that read a config share: where it is, and what happens when it has errors."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from agent.settings.model import Config
    from agent.settings.problems import Problem

DEFAULT_CONFIG = Path("/etc/callpoint/callpoint.toml")  # where `make install` puts it
EXIT_CONFIG = 78  # sysexits.h EX_CONFIG: systemd's RestartPreventExitStatus= knows it


def config_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Which config: `FILE` or `--config FILE`, whichever comes to mind; the command gets it as `file`."""

    @click.argument("argument", metavar="[FILE]", type=click.Path(path_type=Path), required=False)
    @click.option("--config", "option", metavar="FILE", type=click.Path(path_type=Path), help="The same as FILE.")
    @functools.wraps(command)
    def with_file(argument: Path | None, option: Path | None, **others: Any) -> None:
        if argument is not None and option is not None:
            raise click.UsageError(f"two configs: {argument}, and --config {option}. Name one of them.")
        command(file=argument or option or DEFAULT_CONFIG, **others)

    return with_file


def read_config(path: Path, *, resolve_secrets: bool = True, auto_too: bool = False) -> Config:
    """The config at `path`; any error ends the command with all of them on stderr and exit code 78.

    Sizes of the sound card are looked at together with the named profile's; with `auto_too` also with the one that
    "auto" would choose now. The daemon does not: the card may be another one later, and it goes on all the same.
    """
    from agent.settings.load import load_config  # noqa: PLC0415  (as late as possible: help must be quick)
    from agent.settings.problems import ConfigErrors  # noqa: PLC0415
    from hardware.profile import profile_names  # noqa: PLC0415

    try:
        config = load_config(path, resolve_secrets=resolve_secrets, profiles=profile_names())
        if (problem := misfit_problem(config, auto_too=auto_too)) is not None:
            raise ConfigErrors(path, [problem])
        return config
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)
        sys.exit(EXIT_CONFIG)


def misfit_problem(config: Config, *, auto_too: bool) -> Problem | None:
    """What of `[audio]` does not fit the profile, as far as that is known here.

    Without a sound card nobody knows what "auto" will choose: then only what fits no profile at all is wrong.
    """
    from agent.settings.problems import Problem, path_text  # noqa: PLC0415
    from hardware.detect import detect  # noqa: PLC0415
    from hardware.profile import AUTO, VIRTUAL, all_profiles, choose_profile  # noqa: PLC0415
    from hardware.sizes import misfit  # noqa: PLC0415

    audio = config.audio
    none_set = {audio.rate_hz, audio.period_ms, audio.periods, audio.fill_ms} == {None}
    if none_set or (audio.profile == AUTO and not auto_too):
        return None  # most configs: no file is read for them
    profiles, _ = all_profiles()
    if audio.profile == AUTO:
        chosen = choose_profile(detect(), profiles)
        possible = [chosen] if chosen.name != VIRTUAL else list(profiles.values())
    else:  # a broken file of one's own is not there, and the daemon goes on with another
        possible = [profile for name, profile in profiles.items() if name == audio.profile]
    faults = [misfit(profile, audio) for profile in possible]
    if not faults or None in faults:
        return None
    key, sentence = next(fault for fault in faults if fault is not None)
    return Problem(path_text(["audio", key]), sentence)
