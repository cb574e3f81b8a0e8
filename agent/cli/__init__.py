"""`callpoint ...`: one file a command."""

import sys

EXIT_INTERRUPTED = 130  # what shells report for Ctrl-C


def main() -> None:
    """Entry point of the `callpoint` command."""
    try:
        # Click only when the command is really run. No module of this package may be called `main`: once imported, it
        # would take the place of this function.
        from agent.cli.group import callpoint  # noqa: PLC0415

        callpoint()
    except KeyboardInterrupt:  # while it is still being loaded; from there on click and asyncio see to it
        sys.exit(EXIT_INTERRUPTED)
