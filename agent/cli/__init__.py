"""`callpoint ...`: one file a command."""

import sys

EXIT_INTERRUPTED = 130  # what shells report for Ctrl-C


def main() -> None:
    """Entry point of the `callpoint` command."""
    try:
        from agent.cli.main import callpoint  # noqa: PLC0415  (click only when the command is really run)

        callpoint()
    except KeyboardInterrupt:  # while it is still being loaded; from there on click and asyncio see to it
        sys.exit(EXIT_INTERRUPTED)
