"""Both ends of the control socket, and everything that is not one of them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.calls.commands import CommandError
from agent.service.control_socket import (
    MAX_CLIENTS,
    MAX_EVENTS_WAITING,
    MAX_LINE_BYTES,
    ControlClient,
    ControlError,
    ControlServer,
)

GUARD_S = 10.0


async def handler(verb: str, fields: dict[str, Any]) -> dict[str, Any]:
    match verb:
        case "echo":
            return fields
        case "hang":
            await asyncio.Event().wait()
    raise CommandError(f"unknown request {verb!r}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
async def server(path: Path) -> AsyncIterator[ControlServer]:
    async with ControlServer(path, handler) as server:
        yield server


class RawClient:
    """A client without manners."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aenter__(self) -> RawClient:
        self.reader, self.writer = await asyncio.open_unix_connection(str(self._path))
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        self.writer.close()

    async def say(self, raw: bytes) -> dict[str, Any]:
        self.writer.write(raw)
        return await self.hear()

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(GUARD_S):
            answer: dict[str, Any] = json.loads(await self.reader.readline())
        return answer

    async def is_open(self) -> bool:
        """False once the server has closed; waits for that, and skips what it said before."""
        try:
            async with asyncio.timeout(GUARD_S):
                while await self.reader.read(MAX_LINE_BYTES):
                    pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return True
        return False


async def test_requests_are_answered_in_order(server: ControlServer, path: Path) -> None:
    async with ControlClient(path) as client:
        for number in range(3):
            assert await client.request("echo", number=number) == {"status": "ok", "number": number}


async def test_a_refused_request_is_an_error_reply_and_the_connection_lives(server: ControlServer, path: Path) -> None:
    async with ControlClient(path) as client:
        assert await client.request("dance") == {"status": "error", "error": "unknown request 'dance'"}
        assert (await client.request("echo"))["status"] == "ok"


async def test_one_slow_request_does_not_hold_up_other_clients(server: ControlServer, path: Path) -> None:
    async with ControlClient(path) as slow, ControlClient(path) as quick:
        waiting = asyncio.create_task(slow.request("hang"))
        assert (await quick.request("echo"))["status"] == "ok"
        waiting.cancel()


async def test_events_reach_every_reader_in_order(server: ControlServer, path: Path) -> None:
    async with ControlClient(path) as one, ControlClient(path) as two:
        readers = [client.events() for client in (one, two)]
        first = [asyncio.ensure_future(anext(reader)) for reader in readers]
        async with asyncio.timeout(GUARD_S):
            while len(server._event_readers) < 2:
                await asyncio.sleep(0)
            server.broadcast({"type": "state", "n": 1})
            server.broadcast({"type": "state", "n": 2})
            assert [await event for event in first] == [{"type": "state", "n": 1}] * 2
            assert [await anext(reader) for reader in readers] == [{"type": "state", "n": 2}] * 2


async def test_a_reader_of_events_that_stops_reading_is_dropped_alone(server: ControlServer, path: Path) -> None:
    async with RawClient(path) as lazy, ControlClient(path) as keen:
        lazy.reader._transport.pause_reading()  # type: ignore[attr-defined]  # leaves the bytes in the kernel
        lazy.writer.write(b'{"verb": "events"}\n')
        events = keen.events()
        heard = asyncio.ensure_future(anext(events))
        async with asyncio.timeout(GUARD_S):
            while len(server._event_readers) < 2:
                await asyncio.sleep(0)
            filler = "x" * 4096
            sent = 0
            while len(server._event_readers) == 2:
                server.broadcast({"n": sent, "filler": filler})
                sent += 1
                if sent % (MAX_EVENTS_WAITING // 2) == 0:
                    while (await heard)["n"] < sent - 1:  # keeps up, from time to time
                        heard = asyncio.ensure_future(anext(events))
                    heard = asyncio.ensure_future(anext(events))
            server.broadcast({"n": -1})
            while (await heard)["n"] != -1:
                heard = asyncio.ensure_future(anext(events))
        lazy.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert not await lazy.is_open()


async def test_a_daemon_that_ends_ends_its_clients_with_a_sentence(path: Path) -> None:
    async with ControlServer(path, handler) as server:
        client = await ControlClient(path).__aenter__()
        heard = asyncio.ensure_future(anext(client.events()))
        async with asyncio.timeout(GUARD_S):
            while not server._event_readers:
                await asyncio.sleep(0)
    with pytest.raises(ControlError, match="closed the connection"):
        await heard
    await client.__aexit__()
    assert not path.exists()


@pytest.mark.parametrize("line", [b"hello\n", b"[1]\n", b'{"verb": 5}\n', b"\xff\xff\n", b"\n", b"[" * 60000 + b"\n"])
async def test_a_malformed_line_is_an_error_reply_and_the_next_is_read(
    server: ControlServer, path: Path, line: bytes
) -> None:
    async with RawClient(path) as client:
        reply = await client.say(line)
        assert reply["status"] == "error"
        assert await client.say(b'{"verb": "echo", "n": 1}\n') == {"status": "ok", "n": 1}


async def test_a_line_without_end_is_refused_before_it_fills_the_memory(server: ControlServer, path: Path) -> None:
    async with RawClient(path) as client:
        reply = await client.say(b"x" * (MAX_LINE_BYTES * 3))
        assert reply == {"status": "error", "error": f"line too long: at most {MAX_LINE_BYTES} bytes"}
        assert not await client.is_open()


async def test_one_client_too_many_is_told_so(server: ControlServer, path: Path) -> None:
    clients = [await ControlClient(path).__aenter__() for _ in range(MAX_CLIENTS)]
    for client in clients:
        assert (await client.request("echo"))["status"] == "ok"
    async with RawClient(path) as late:
        assert "too many clients" in (await late.hear())["error"]
        assert not await late.is_open()
    for client in clients:
        await client.__aexit__()


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_no_bytes_bring_the_server_down(tmp_path: Path, raw: bytes) -> None:
    async def attempt() -> None:
        path = tmp_path / "control.sock"
        async with ControlServer(path, handler):
            async with RawClient(path) as client:
                client.writer.write(raw + b"\n")
                client.writer.write_eof()
                async with asyncio.timeout(GUARD_S):
                    answers = (await client.reader.read()).splitlines()
            assert [json.loads(answer)["status"] for answer in answers] == ["error"] * (raw + b"\n").count(b"\n")
            async with ControlClient(path) as client:
                assert await client.request("echo") == {"status": "ok"}

    asyncio.run(attempt())


async def test_only_the_user_and_the_group_may_connect(server: ControlServer, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_what_a_dead_daemon_left_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with ControlServer(path, handler), ControlClient(path) as client:
        assert (await client.request("echo"))["status"] == "ok"


async def test_a_second_daemon_is_refused_and_does_not_disturb_the_first(server: ControlServer, path: Path) -> None:
    with pytest.raises(ControlError, match="another callpoint listens there"):
        async with ControlServer(path, handler):
            pass
    async with ControlClient(path) as client:
        assert (await client.request("echo"))["status"] == "ok"


async def test_a_file_in_the_way_is_named_and_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(ControlError, match=r"control\.sock: a file that is no socket"):
        async with ControlServer(path, handler):
            pass
    assert path.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
async def test_a_folder_of_another_users_is_refused(path: Path) -> None:
    path.parent.mkdir()
    os.chown(path.parent, 12345, -1)
    with pytest.raises(ControlError, match="belongs to another user"):
        async with ControlServer(path, handler):
            pass


async def test_a_daemon_that_does_not_run_is_said_so_with_the_cure(path: Path) -> None:
    with pytest.raises(ControlError, match=r"callpoint is not running at .*control\.sock: start it with"):
        async with ControlClient(path):
            pass


async def test_a_missing_permission_is_said_with_the_group(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(asyncio, "open_unix_connection", refuse)
    with pytest.raises(ControlError, match="usermod -aG callpoint"):
        async with ControlClient(path):
            pass


async def test_a_daemon_that_hangs_is_said_so(server: ControlServer, path: Path) -> None:
    async with ControlClient(path) as client:
        with pytest.raises(ControlError, match="does not answer"):
            await client.request("hang", timeout_s=0.05)


async def test_the_socket_goes_when_serving_ends(path: Path) -> None:
    async with ControlServer(path, handler), ControlClient(path) as client:
        assert (await client.request("echo"))["status"] == "ok"
    assert not path.exists()


async def test_a_state_full_of_headers_is_read(server: ControlServer, path: Path) -> None:
    """Two calls with all the headers that a gateway may send are longer than any request."""
    async with ControlClient(path) as client:
        reader = client.events()
        first = asyncio.ensure_future(anext(reader))
        async with asyncio.timeout(GUARD_S):
            while not server._event_readers:
                await asyncio.sleep(0)
            event = {"type": "state", "headers": [{"name": f"X-{n}", "value": "v" * 2048} for n in range(128)]}
            server.broadcast(event)
            assert await first == event
