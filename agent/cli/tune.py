"""`callpoint tune`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli import EXIT_INTERRUPTED
from agent.cli.config_file import DEFAULT_CONFIG
from agent.cli.control import ask, find_socket, socket_option
from agent.service.control_socket import ControlError

if TYPE_CHECKING:
    from agent.settings.model import Config
    from agent.tune.figures import Figures
    from agent.tune.session import Say
    from hardware.profile import Profile

Private = contextlib.AbstractContextManager[None]  # runs a block as long as no privacy switch is on
PROFILES = Path("/etc/callpoint/profiles.d")
BAR = 30  # characters


@click.command()
@click.option("--profile", "base_name", default=None, help="Whose numbers to begin with, instead of the config's.")
@click.option("--capture", default=None, help="Microphone, instead of the config's or the profile's.")
@click.option("--playback", default=None, help="Speaker, likewise.")
@click.option("--name", default="tuned", show_default=True, help="Name of the profile that is written.")
@click.option("--output", type=click.Path(path_type=Path), default=None, help=f"Instead of {PROFILES}/NAME.toml.")
@click.option("--svg", type=click.Path(path_type=Path), default=None, help="Draw the figures into this file, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--seconds", type=click.FloatRange(5, 600), default=30.0, show_default=True, help="For delay and drift.")
@click.option("--load/--no-load", default=True, help="Whether sizes are tried under load of the processor.")
@click.option("--echo/--no-echo", default=True, help="Whether echo cancellers are compared.")
@click.option("--dry-run", is_flag=True, help="Measure, and write no profile.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The device's config, for its sound card and its privacy switch.",
)
@socket_option
def tune(
    *,
    base_name: str | None,
    capture: str | None,
    playback: str | None,
    name: str,
    output: Path | None,
    svg: Path | None,
    as_json: bool,
    seconds: float,
    load: bool,
    echo: bool,
    dry_run: bool,
    config_path: Path,
    socket_path: Path | None,
) -> None:
    """Measure this device's sound card and room, and write a profile of the figures.

    It takes two to three minutes and makes noise: soft to shrill sweeps, and something like speech. Ctrl-C ends it at
    any time; nothing is changed then. While the privacy switch is on it refuses.

    Then set `profile = "tuned"` in `[audio]`.
    """
    from agent.tune.charts import drawing  # noqa: PLC0415 - numpy: help shall not wait for it
    from agent.tune.choose import choose  # noqa: PLC0415
    from agent.tune.profile_file import profile_text, summary, write_whole  # noqa: PLC0415

    daemon = _daemon(socket_path)
    state = None if daemon is None else _refuse_beside_a_call(daemon)
    if daemon is not None and state is not None:
        private = _told_by(daemon) if state["inputs"] else contextlib.nullcontext()
        config = _config_if_readable(config_path)
    else:
        config = _config(config_path)
        private = _switch_in(config)
    base = _base(base_name, capture, playback, config)
    path = output or PROFILES / f"{name}.toml"
    for file in [svg] if dry_run else [path, svg]:
        _check_writable(file)
    figures = _measured(base, private, seconds, load=load, echo=echo)
    when = datetime.now().astimezone()
    choices = choose(figures, base)
    if as_json:
        chosen = {choice.key: choice.value for choice in choices}
        click.echo(json.dumps({**figures.as_json(), "chosen": chosen}, indent=2))
    else:
        click.echo("\n".join(summary(figures, when)))
        for choice in choices:
            click.echo(f"{choice.key} = {choice.value}  ({choice.why})")
    try:
        if not dry_run:
            write_whole(path, profile_text(figures, choices, base, when, path.stem))
            click.echo(f'written: {path}; to use it: [audio] profile = "{path.stem}"', err=as_json)
        if svg is not None:
            write_whole(svg, drawing(figures, when))
            click.echo(f"written: {svg}", err=as_json)
    except OSError as error:
        raise click.ClickException(f"{error.filename}: cannot be written: {error.strerror}") from None


def _measured(base: Profile, private: Private, seconds: float, *, load: bool, echo: bool) -> Figures:
    from agent.tune.duplex import Devices  # noqa: PLC0415
    from agent.tune.privacy import PrivateError  # noqa: PLC0415
    from agent.tune.session import STAGES, Plan, measure  # noqa: PLC0415
    from hardware.pcm import PcmError  # noqa: PLC0415

    plan = Plan(drift_s=seconds, sizes=load, stages=STAGES if echo else ())
    try:
        with private:
            return measure(Devices(base.capture, base.playback), base, plan, _progress())
    except PcmError as error:
        raise click.ClickException(str(error.strerror or error)) from None
    except PrivateError as error:
        raise click.ClickException(f"{error}. Nothing was written") from None
    except KeyboardInterrupt:
        click.echo("\ninterrupted: the devices are closed, nothing was written", err=True)
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None


def _base(name: str | None, capture: str | None, playback: str | None, config: Config | None) -> Profile:
    """The profile to begin with: what is asked for, else what calls use by the config, else what is found."""
    from agent.doctor.sound import devices_of  # noqa: PLC0415
    from hardware.profile import ProfileError, load_profile  # noqa: PLC0415

    try:
        base = load_profile(name) if name is not None else _profile_of(config)
    except ProfileError as error:
        raise click.ClickException(str(error)) from None
    microphone, speaker = devices_of(config, base)
    base = dataclasses.replace(base, capture=capture or microphone or base.capture, playback=playback or speaker)
    if base.capture.startswith("virtual:") or base.playback.startswith("virtual:"):
        raise click.ClickException(
            f"profile {base.name} has no sound card (microphone {base.capture}, speaker {base.playback}): plug one in, "
            "or name one with --capture and --playback (arecord -L, aplay -L)"
        )
    return base


def _profile_of(config: Config | None) -> Profile:
    """The config's; one that is not there yet may be the very one that this is to write."""
    from hardware.profile import AUTO, ProfileError, load_profile  # noqa: PLC0415

    try:
        return load_profile(config.audio.profile if config is not None else AUTO)
    except ProfileError as error:
        click.echo(f"note: {error}; beginning with the profile that fits the card", err=True)
        return load_profile(AUTO)


def _switch_in(config: Config | None) -> Private:
    """The privacy switches of the config, looked at here; there may be no config yet."""
    from agent.tune.privacy import kept_private  # noqa: PLC0415

    return contextlib.nullcontext() if config is None else kept_private(config.board.kind, _switches(config))


def _told_by(socket_path: Path) -> Private:
    """The daemon, which has the pins, tells."""
    from agent.tune.privacy import kept_private_beside  # noqa: PLC0415

    def privacy() -> bool | None:
        try:
            return bool(ask(socket_path, "status")["state"]["privacy"])
        except click.ClickException:
            return None

    return kept_private_beside(privacy)


def _config(path: Path) -> Config | None:
    """The config, for its sound card and the switch that keeps the microphone closed; None where there is none yet."""
    from agent.settings.load import load_config  # noqa: PLC0415
    from agent.settings.problems import ConfigErrors  # noqa: PLC0415

    try:
        # Its profile is not looked up: it may be the very one that this is to write.
        return load_config(path, resolve_secrets=False) if path.exists() else None
    except (ConfigErrors, PermissionError) as errors:
        text = errors.problems[0] if isinstance(errors, ConfigErrors) else f"{path}: not permitted to look"
        raise click.ClickException(
            f"{text}. So it is not known whether a privacy switch keeps the microphone closed: mend it (sudo callpoint "
            f"check {path}), use sudo, or name another with --config"
        ) from None


def _config_if_readable(path: Path) -> Config | None:
    """The config beside a daemon, which knows the switch: one that cannot be read keeps nobody from measuring."""
    try:
        return _config(path)
    except click.ClickException as error:
        click.echo(
            f"note: {error.message.partition('. So ')[0]}: beginning with the profile that fits the card", err=True
        )
        return None


def _switches(config: Config) -> dict[str, Any]:
    """The specs of the privacy switches."""
    from agent.header import input_specs  # noqa: PLC0415

    private = {name for name, each in config.inputs.items() if each.kind == "privacy"}
    return {name: spec for name, spec in input_specs(config).items() if name in private}


def _daemon(socket_path: Path | None) -> Path | None:
    """The socket of the daemon that runs here, if one does."""
    try:
        return socket_path or find_socket()
    except ControlError:
        return None


def _refuse_beside_a_call(socket_path: Path) -> dict[str, Any] | None:
    """The daemon's state. It holds its card only in a call or a self-test; a call that begins later finds it busy.

    A privacy switch that is on is known to it.
    """
    try:
        state: dict[str, Any] = ask(socket_path, "status")["state"]
    except click.ClickException as error:  # left by a dead one, perhaps; a card that is in use says so itself
        click.echo(f"note: {error.message}", err=True)
        return None
    if state["privacy"]:
        raise click.ClickException(
            "the privacy switch is on, so the microphone stays closed: switch it off, and begin again"
        )
    if state["state"] != "idle" or state["microphone_open"]:
        raise click.ClickException(
            f"the daemon has the sound card open ({state['state']}): end its call with `callpoint hangup`, or stop it "
            "with `systemctl stop callpoint`"
        )
    click.echo(
        "note: the daemon runs here; a call that begins meanwhile would find the sound card busy "
        "(systemctl stop callpoint keeps it away)",
        err=True,
    )
    return state


def _check_writable(path: Path | None) -> None:
    """Before two minutes of noise."""
    if path is None:
        return
    import os  # noqa: PLC0415

    if not path.parent.is_dir():
        raise click.ClickException(f"{path}: there is no folder {path.parent}: make it (mkdir -p), or choose --output")
    if not os.access(path.parent, os.W_OK) or path.is_dir():
        raise click.ClickException(f"{path}: not permitted to write there: use sudo, or choose --output")


def _progress() -> Say:
    """A bar on the terminal, a line for each thing where there is none; on stderr."""
    last = ""

    def say(what: str, done: float) -> None:
        nonlocal last
        if sys.stderr.isatty():
            if last and what != last:
                click.echo(err=True)
            click.echo(f"\r{what:<26} {'#' * round(BAR * done):<{BAR}}", nl=False, err=True)
        elif what != last:
            click.echo(f"{what} ...", err=True)
        last = what

    return say
