"""The control socket: how the `callpoint` command and other local programs talk to the daemon. Both its ends.

AF_UNIX SOCK_STREAM, one JSON object a line. A request is {"verb": ..., other fields}; the reply is
{"status": "ok", ...} or {"status": "error", "error": one sentence}, in the order of the requests. The verb `events`
turns the connection into a stream of {"event": {...}} lines. Who may connect is decided by the file's mode and
group.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from agent.calls.commands import CommandError

logger = logging.getLogger(__name__)

MAX_CLIENTS = 16
MAX_LINE_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 1024 * 1024  # the state holds two calls with the headers that their gateway sent: up to 150 kB each
MAX_EVENTS_WAITING = 256  # minutes of a busy device; a reader that far behind has stopped reading
SOCKET_MODE = 0o660  # the service's user and group
EVENTS_VERB = "events"
ANSWER_TIMEOUT_S = 10.0  # a healthy daemon answers at once
_BACKLOG = 8
_PROBE_TIMEOUT_S = 1.0
_CLOSE_TIMEOUT_S = 1.0  # for a last reply to leave

Fields = dict[str, Any]
Handler = Callable[[str, Fields], Awaitable[Fields]]


class ControlError(RuntimeError):
    """The socket cannot be offered, or the daemon cannot be asked. `str()` says why, and what to do."""


class ControlServer:
    """Answers requests with `handler(verb, fields)`, which returns the reply's fields or raises `CommandError`.

    `async with` serves for as long as its body runs, then removes the socket. Raises `ControlError`.
    """

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._clients: set[asyncio.Task[Any]] = set()
        self._event_readers: dict[asyncio.Queue[bytes], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None
        self._inode: int | None = None

    async def __aenter__(self) -> ControlServer:
        listener = _listen(self._path)
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.start_unix_server(self._serve_client, sock=listener, limit=MAX_LINE_BYTES)
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:  # not the socket of whoever came after us
                self._path.unlink()

    def broadcast(self, event: Fields) -> None:
        """Send `event` to every reader of events; one that does not keep up is disconnected."""
        if not self._event_readers:
            return
        line = _line({"event": event})
        for waiting, writer in list(self._event_readers.items()):
            try:
                waiting.put_nowait(line)
            except asyncio.QueueFull:
                del self._event_readers[waiting]
                writer.transport.abort()
                logger.warning("disconnected a reader of events on %s: it does not keep up", self._path)

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._clients) >= MAX_CLIENTS:
            writer.write(_error(f"too many clients: at most {MAX_CLIENTS} may be connected"))
            await _close(writer)
            return
        self._clients.add(task)
        try:
            await self._answer_requests(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client left, or the daemon stops: asyncio would log either as a failure of ours
        finally:
            self._clients.discard(task)
            await _close(writer)

    async def _answer_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                writer.write(_error(f"line too long: at most {MAX_LINE_BYTES} bytes"))
                await writer.drain()
                return
            try:
                verb, fields = _request_of(line)
            except CommandError as error:
                writer.write(_error(str(error)))
                await writer.drain()
                continue
            if verb == EVENTS_VERB:
                await self._stream_events(reader, writer)
                return
            writer.write(await self._reply(verb, fields))
            await writer.drain()

    async def _reply(self, verb: str, fields: Fields) -> bytes:
        try:
            return _line({"status": "ok", **await self._handler(verb, fields)})
        except CommandError as error:
            return _error(str(error))

    async def _stream_events(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[bytes] = asyncio.Queue(MAX_EVENTS_WAITING)
        self._event_readers[waiting] = writer
        writer.write(_line({"status": "ok"}))
        # The client says nothing more; what ends this wait is that it leaves.
        gone = asyncio.create_task(_discard(reader), name="control-client-gone")
        pump = asyncio.create_task(_pump(waiting, writer), name="control-events")
        try:
            await asyncio.wait((gone, pump), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._event_readers.pop(waiting, None)
            for task in (gone, pump):
                task.cancel()
            await asyncio.gather(gone, pump, return_exceptions=True)


class ControlClient:
    """The asking end: `async with ControlClient(path) as client: reply = await client.request("state")`.

    Every method raises `ControlError` when the daemon is not there, not for us, or stops answering.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> ControlClient:
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(str(self._path), limit=MAX_ANSWER_BYTES)
        except (FileNotFoundError, ConnectionRefusedError):
            raise ControlError(
                f"callpoint is not running at {self._path}: start it with `systemctl start callpoint` "
                "(or `callpoint run`)"
            ) from None
        except PermissionError:
            raise ControlError(
                f"no permission for {self._path}: join its group with `sudo usermod -aG callpoint $USER`, "
                "then log in again"
            ) from None
        except OSError as error:
            raise ControlError(f"{self._path}: {error.strerror or error}") from None
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def request(self, verb: str, *, timeout_s: float = ANSWER_TIMEOUT_S, **fields: Any) -> dict[str, Any]:
        """The reply to one request: `status` is "ok", or "error" with a sentence in `error`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._send({"verb": verb, **fields})
                reply = await self._read()
        except TimeoutError:
            raise ControlError(
                f"callpoint at {self._path} does not answer within {timeout_s:.0f} s: see `journalctl -u callpoint`"
            ) from None
        if reply is None:
            raise self._closed()
        return reply

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Every event from now on. The connection serves nothing else afterwards."""
        reply = await self.request(EVENTS_VERB)
        if reply.get("status") != "ok":
            raise ControlError(str(reply.get("error")))
        while (line := await self._read()) is not None:
            yield line["event"]
        raise self._closed()

    async def _send(self, fields: dict[str, Any]) -> None:
        if self._writer is None:
            raise ControlError("the control socket is used outside of `async with`")
        try:
            self._writer.write(json.dumps(fields).encode() + b"\n")
            await self._writer.drain()
        except ConnectionError:
            raise self._closed() from None

    async def _read(self) -> dict[str, Any] | None:
        if self._reader is None:
            raise ControlError("the control socket is used outside of `async with`")
        try:
            line = await self._reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except asyncio.LimitOverrunError:
            raise ControlError(f"callpoint at {self._path} sent a line of more than {MAX_ANSWER_BYTES} bytes") from None
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _closed(self) -> ControlError:
        return ControlError(f"callpoint at {self._path} closed the connection: see `journalctl -u callpoint`")


async def _pump(waiting: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(await waiting.get())
        await writer.drain()


async def _discard(reader: asyncio.StreamReader) -> None:
    while await reader.read(MAX_LINE_BYTES):
        pass


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
        await asyncio.wait_for(writer.wait_closed(), _CLOSE_TIMEOUT_S)
    writer.transport.abort()  # for one that does not read what is left for it


def _request_of(line: bytes) -> tuple[str, Fields]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise CommandError("not a line of JSON") from None
    verb = fields.pop("verb", None) if isinstance(fields, dict) else None
    if not isinstance(verb, str):
        raise CommandError('expected a JSON object with a "verb"')
    return verb, fields


def _line(fields: Fields) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _error(sentence: str) -> bytes:
    return _line({"status": "error", "error": sentence})


def _listen(path: Path) -> socket.socket:
    """A listening socket at `path`. Replaces what a dead daemon left there, never a living one's."""
    _make_folder(path.parent)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(SOCKET_MODE)  # until here the umask has it, and nobody listens
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ControlError(f"control socket {path}: {error.strerror or error}") from None
    listener.setblocking(False)
    return listener


def _make_folder(folder: Path) -> None:
    """In a folder of somebody else's (one could wait for us in /tmp), the socket could be exchanged at any time."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.stat().st_uid
    except OSError as error:
        raise ControlError(f"control socket: folder {folder}: {error.strerror}") from None
    if owner not in (0, os.geteuid()):
        raise ControlError(f"control socket: folder {folder} belongs to another user; choose another place for it")


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ControlError(f"control socket {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise ControlError(f"control socket {path}: a file that is no socket is in the way; remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:  # no right to connect, or a living daemon too busy to take us
            raise ControlError(f"control socket {path}: in use ({error.strerror or error})") from None
    raise ControlError(
        f"control socket {path}: another callpoint listens there; stop it (systemctl stop callpoint), "
        "or give this one another [service] control_socket"
    )
