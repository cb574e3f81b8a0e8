"""`callpoint ...`: one file a command."""


def main() -> None:
    """Entry point of the `callpoint` command."""
    from agent.cli.main import callpoint  # noqa: PLC0415  (click only when the command is really run)

    callpoint()
