"""Fetches one token: from a file or from a program. `backend` fetches it from an address."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from io import FileIO
from typing import Protocol

from agent.settings.secret import MAX_SECRET_BYTES, read_private_file
from agent.settings.token_source import TokenCommand, TokenFile, TokenSource
from agent.tokens.answer import TokenError, token_in
from agent.tokens.backend import BackendSource

COMMAND_TIMEOUT_S = 30.0  # it may ask a server itself
_KILL_TIMEOUT_S = 5.0  # a killed process is gone at once, unless it hangs in the kernel
_CHUNK_BYTES = 4096


class Source(Protocol):
    """Something that gives tokens."""

    async def fetch(self) -> str:
        """A token. Raises `TokenError`."""

    def changed(self) -> bool | None:
        """Whether there is something new since the last fetch; None when only a fetch can tell."""


def source_of(settings: TokenSource) -> Source:
    """The source that the config describes."""
    match settings:
        case TokenFile():
            return FileSource(settings)
        case TokenCommand():
            return CommandSource(settings)
    return BackendSource(settings)


class FileSource:
    """A file that somebody else keeps fresh, in place or by renaming a new one over it."""

    def __init__(self, settings: TokenFile) -> None:
        self._path = settings.file
        self._seen = self._looked_at = self._stamp()

    async def fetch(self) -> str:
        # The stamp comes first: a change while the file is read is then seen as one.
        self._seen = self._stamp()
        try:
            return token_in(read_private_file(self._path).encode())
        except ValueError as error:
            raise TokenError(str(error)) from None

    def changed(self) -> bool | None:
        """Only once it is the same at two looks: half a token is one that the gateway refuses."""
        before, self._looked_at = self._looked_at, self._stamp()
        return self._looked_at != self._seen and self._looked_at == before

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode


class CommandSource:
    """A program that prints a token. Its arguments and error output may hold secrets and are never repeated."""

    def __init__(self, settings: TokenCommand, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        self._command = settings.command
        self._timeout_s = timeout_s

    async def fetch(self) -> str:
        program = self._command[0]
        ours, theirs = os.pipe()
        # A pipe of our own: asyncio's stays open for as long as anybody holds its other end, be it for ever.
        with open(ours, "rb", buffering=0) as pipe:  # noqa: PTH123, ASYNC230  (a descriptor, not a file)
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=theirs,
                    stderr=asyncio.subprocess.DEVNULL,
                    start_new_session=True,  # so that it can be ended with all that it started
                )
            except OSError as error:
                raise TokenError(f"{program} cannot be started: {error.strerror}") from None
            finally:
                os.close(theirs)
            return token_in(await self._finish(process, pipe))

    async def _finish(self, process: asyncio.subprocess.Process, pipe: FileIO) -> bytes:
        """What it prints until it ends, well and in time; else it is killed."""
        program = self._command[0]
        done = False
        try:
            async with asyncio.timeout(self._timeout_s):
                output = await _output(pipe)
                code = await process.wait()
            done = True
        except TimeoutError:
            raise TokenError(f"{program} took longer than {self._timeout_s:.0f} s") from None
        finally:
            if not done:
                await _kill(process)
        if code != 0:
            raise TokenError(f"{program} ended with " + (f"exit code {code}" if code > 0 else f"signal {-code}"))
        return output

    def changed(self) -> bool | None:
        return None


async def _output(pipe: FileIO) -> bytes:
    """All that is printed, or one chunk more than is read. Raises `TokenError` for the latter."""
    reader = asyncio.StreamReader(limit=MAX_SECRET_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    output = b""
    try:
        while len(output) <= MAX_SECRET_BYTES:
            chunk = await reader.read(_CHUNK_BYTES)
            if not chunk:
                return output
            output += chunk
    finally:
        transport.close()
    raise TokenError(f"the answer is too long, at most {MAX_SECRET_BYTES} bytes are read")


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    end = asyncio.ensure_future(process.wait())
    await asyncio.wait([end], timeout=_KILL_TIMEOUT_S)
    end.cancel()
