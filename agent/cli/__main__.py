"""`python -m agent.cli` is `callpoint`."""

from agent.cli import main

main()
