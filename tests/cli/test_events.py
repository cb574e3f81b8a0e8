"""`callpoint events` as a script reads it: a line of JSON for each thing that happens, as it happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

import pytest

from agent.cli import EXIT_INTERRUPTED
from agent.lab.gateway import LabGateway
from tests.device import PASSWORD, PATIENCE_S, config_of, device

pytestmark = pytest.mark.interop

# What a shell starts in the background ignores SIGINT, and so does everything that is started from there.
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from agent.cli import main
main()
"""


async def test_a_call_is_told_line_by_line_until_interrupted(tmp_path: Path) -> None:
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path), tmp_path) as door,
    ):
        await door.line_ready()
        reader = await asyncio.create_subprocess_exec(
            sys.executable, "-c", INTERRUPTIBLE, "events", "--socket", str(tmp_path / "door.sock"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert reader.stdout is not None
        told: list[dict[str, object]] = []
        calls = 0
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not told:  # what happens before it listens is not told
                    calls += 1
                    await door.command("call", target="patient")
                    await door.command("hangup")
                    await door.ended(calls)
                    with contextlib.suppress(TimeoutError):
                        told.append(json.loads(await asyncio.wait_for(reader.stdout.readline(), 1.0)))
                while told[-1]["type"] != "call_ended":
                    told.append(json.loads(await reader.stdout.readline()))
        finally:
            reader.send_signal(signal.SIGINT)
            _, errors = await reader.communicate()
        assert (reader.returncode, b"Traceback" in errors) == (EXIT_INTERRUPTED, False)
        assert told[-1]["call"]["reason"] == "cancelled"  # type: ignore[index]
        assert not {"state", "figures"} & {str(event["type"]) for event in told}


async def test_without_a_daemon_it_says_what_to_do(tmp_path: Path) -> None:
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.cli", "events", "--socket", str(tmp_path / "nobody.sock"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await reader.communicate()
    assert (reader.returncode, output) == (1, b"")
    assert errors.startswith(b"Error: ")
    assert b"nobody.sock" in errors
