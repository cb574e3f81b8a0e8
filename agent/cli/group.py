"""The `callpoint` command: options that all commands share, and the list of them."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

import click

# One line a command, in the order in which help shows them; the module is imported when its command is used, so that
# `callpoint status` does not wait for aiortc.
COMMANDS = {
    "run": "Run the daemon with a config.",
    "check": "Check a config and show what it means, secrets masked.",
    "call": "Place a call from the running daemon.",
    "answer": "Answer the call that rings at the running daemon.",
    "hangup": "Hang up (or reject) the running daemon's call.",
    "mute": "Mute the running daemon's microphone, or unmute it.",
    "hold": "Put the running daemon's call on hold, or take it back.",
    "dtmf": "Send digits in the running daemon's call.",
    "message": "Send a text to the far end of the running daemon's call.",
    "play": "Play one of the running daemon's prompts.",
    "relay": "Open the door by one of the running daemon's relays.",
    "volume": "Set the running daemon's volume, or show it.",
    "transfer": "Hand the running daemon's call over to somebody else.",
    "status": "Show what the running daemon is doing.",
    "events": "Show what happens at the running daemon, as it happens.",
    "self-test": "Have the running daemon test its speaker and microphone.",
    "tune": "Measure this device's sound card and room, and write a profile.",
    "devices": "Show sound cards, their controls and pins, and what uses them.",
    "doctor": "Check this device and say what is wrong and how to mend it.",
    "lab": "Try everything here, without an account or a Pi.",
}


class LazyCommands(click.Group):
    """Commands by name from `agent.cli.<name>`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(import_module(f"agent.cli.{name}"), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"agent.cli.{cmd_name} has no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("callpoint"), prog_name="callpoint")
def callpoint() -> None:
    """Callpoint: press a button, and a real telephone, SIP phone or AI assistant answers.

    Start with `callpoint check FILE`, then `callpoint run --config FILE`. Those that say
    so talk to the running daemon over its control socket.
    """
