"""Receivers in processes of their own, seen from the bench, and the reading of orders inside them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

from tests.bench.audio.heard import Heard, read_log
from tests.bench.audio.priority import lift

BENCH_TREE = Path(__file__).parents[3]
LINE_BYTES = 1 << 20
REPLY_S = 30.0


class Receiver(Protocol):
    """Answers one call at a time and tells afterwards what it played."""

    async def answer(self, offer: str) -> str: ...

    async def stop(self) -> Heard: ...

    async def close(self) -> None: ...


async def orders() -> AsyncIterator[dict[str, Any]]:
    """JSON objects from stdin, one a line, until it closes."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


class ProcessReceiver:
    """`python -m tests.bench.audio.<module>`, with the `agent` of the tree `tree`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    async def start(cls, module: str, tree: Path = BENCH_TREE) -> ProcessReceiver:
        paths = os.pathsep.join(dict.fromkeys([str(tree), str(BENCH_TREE)]))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"tests.bench.audio.{module}",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_BYTES,
            cwd=tree, env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        return cls(process)

    async def answer(self, offer: str) -> str:
        self._folder = tempfile.TemporaryDirectory(prefix="callpoint-heard-")
        sdp: str = (await self._ask({"answer": offer, "folder": self._folder.name}))["sdp"]
        lift([self._process.pid])
        return sdp

    async def stop(self) -> Heard:
        assert self._folder is not None
        reply = await self._ask({"stop": True})
        heard = read_log(Path(self._folder.name), reply["statistics"])
        self._folder.cleanup()
        return heard

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(REPLY_S):
            line = await self._process.stdout.readline()
        if not line:
            raise ConnectionError("a receiver's process has ended: see above")
        reply: dict[str, Any] = json.loads(line)
        return reply
