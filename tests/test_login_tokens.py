"""Login tokens that are renewed while the daemon runs: from a file, a program and an address, in a call, refused, and
when the source fails."""

from __future__ import annotations

import asyncio
import http.server
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.lab.gateway import LabGateway
from tests.device import Device, config_of, device
from tests.parties import PATIENCE_S
from tests.tokens.jwt import jwt

pytestmark = pytest.mark.interop

HOUR_S = 3600


def token(number: int, lifetime_s: float = 24 * HOUR_S) -> str:
    now_s = int(time.time())
    return jwt(sub=f"door-{number}", iat=now_s, exp=now_s + int(lifetime_s))


FIRST, SECOND = token(1), token(2)


class Source:
    """A place where tokens come from: `put` changes what it gives, `break_it` makes it fail."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.kind = kind
        self.text: str | None = None
        self._file = folder / "token"
        self._server: http.server.ThreadingHTTPServer | None = None
        if kind == "url":
            source = self

            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(500 if source.text is None else 200)
                    self.end_headers()
                    self.wfile.write(f'{{"token": "{source.text}"}}'.encode())

                def log_message(self, *_: Any) -> None:
                    """Nothing."""

            self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
            self._thread.start()

    def put(self, text: str) -> None:
        self.text = text
        fresh = self._file.with_suffix(".new")
        fresh.write_text(text)
        fresh.chmod(0o600)
        fresh.rename(self._file)

    def break_it(self) -> None:
        self.text = None
        self._file.unlink()

    @property
    def config(self) -> dict[str, Any]:
        match self.kind:
            case "file":
                return {"file": str(self._file), "watch": True}
            case "command":
                return {"command": [sys.executable, "-c", f"print(open({str(self._file)!r}).read())"]}
        assert self._server is not None
        return {"url": f"http://127.0.0.1:{self._server.server_address[1]}/token"}

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@pytest.fixture
def source_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Source]]:
    """Makes sources; what takes its time otherwise is done at once."""
    monkeypatch.setattr("agent.tokens.keeper.FILE_POLL_S", 0.05)
    monkeypatch.setattr("agent.tokens.keeper.HURRY_S", 0.0)
    monkeypatch.setattr("agent.tokens.keeper.RETRY_S", 0.05)
    made: list[Source] = []

    def make(kind: str) -> Source:
        made.append(Source(tmp_path, kind))
        return made[-1]

    yield make
    for each in made:
        each.close()


def door_at(gateway: LabGateway, folder: Path, source: Source) -> Any:
    lines = {"lab": {"host": gateway.url, "login_token": source.config}}
    return device(config_of(gateway.url, folder, lines=lines), folder)


def tokens_used(gateway: LabGateway) -> list[str]:
    return [frame["params"]["login_token"] for frame in gateway.frames.received("login")]


async def used(gateway: LabGateway, *tokens: str) -> None:
    """Until the device has logged in with these tokens, in this order and no others."""
    async with asyncio.timeout(PATIENCE_S):
        await gateway.wait_received("login", len(tokens))
    assert tokens_used(gateway) == list(tokens)


def renew_now(door: Device) -> None:
    """As if three quarters of the lifetime were over."""
    door.app._tokens["lab"]._keeper._hurry.set()


async def still_talking(door: Device) -> None:
    before = door.figures[-1]["packets_received"]
    await door.until(lambda: door.figures[-1]["packets_received"] > before + 25)
    assert door.app.switchboard.snapshot()["state"] == "active"


@pytest.mark.parametrize("kind", ["file", "command", "url"])
async def test_a_fresh_token_is_used_in_a_call_without_dropping_it(
    kind: str, source_of: Callable[[str], Source], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="agent")
    source = source_of(kind)
    async with LabGateway() as gateway:
        for each in (FIRST, SECOND):
            gateway.registrar.add_token(each, "door")
        source.put(FIRST)
        async with door_at(gateway, tmp_path, source) as door:
            await door.line_ready()
            await door.command("call", target="reception")
            await door.seconds(1)
            source.put(SECOND)
            if kind != "file":  # a file is watched; the others are asked when three quarters of the lifetime are over
                renew_now(door)
            await used(gateway, FIRST, SECOND)
            await still_talking(door)
            assert [data["state"] for name, data in door.events if name == "line_state"].count("ready") == 1
            assert len(gateway.visits) == 1
            # The new one is what counts at the next reconnect.
            gateway.abort()
            await door.line_ready(number=2)
            await used(gateway, FIRST, SECOND, SECOND)
            await still_talking(door)
            await door.command("hangup")
            assert (await door.ended())["reason"] == "local_hangup"
    assert not [data for name, data in door.events if name == "warning" and data["code"] == 34001]
    for secret in (FIRST, SECOND):
        assert secret not in caplog.text


async def test_a_source_that_fails_warns_hours_before_the_line_goes_down_and_says_when_it_is_over(
    source_of: Callable[[str], Source], tmp_path: Path
) -> None:
    source = source_of("file")
    async with LabGateway() as gateway:
        for each in (FIRST, SECOND):
            gateway.registrar.add_token(each, "door")
        source.put(FIRST)
        async with door_at(gateway, tmp_path, source) as door:
            await door.line_ready()
            source.break_it()
            warning = await door.event("warning", code=34001)
            assert (warning["line"], warning["call_id"], warning["cleared"]) == ("lab", None, False)
            assert "no new login token" in warning["text"]
            assert re.search(r"the present one is good for 2[34]\.\d h", warning["text"])
            await door.until(lambda: [each["code"] for each in door.states[-1]["warnings"]] == [34001])
            assert door.app.switchboard.snapshot()["lines"]["lab"]["state"] == "ready"
            source.put(SECOND)
            await door.event("warning", code=34001, cleared=True)
            await used(gateway, FIRST, SECOND)
            await door.until(lambda: door.states[-1]["warnings"] == [])


async def test_a_refused_token_makes_the_line_ask_for_another_one_at_once(
    source_of: Callable[[str], Source], tmp_path: Path
) -> None:
    source = source_of("command")
    async with LabGateway() as gateway:
        gateway.registrar.add_token(SECOND, "door")
        source.put(FIRST)  # good for a day by its own word, but the gateway does not want it
        async with door_at(gateway, tmp_path, source) as door:
            await door.event("line_state", line="lab", state="rejected")
            warning = await door.event("warning", code=34001)
            assert warning["text"] == (
                "no new login token: the source still gives the token that the gateway has refused"
            )
            source.put(SECOND)
            await door.line_ready()
            await used(gateway, FIRST, SECOND)
            await door.event("warning", code=34001, cleared=True)
            await door.command("call", target="busy")
            assert (await door.ended())["reason"] == "busy"


async def test_a_line_without_a_token_yet_waits_for_it_and_says_so(
    source_of: Callable[[str], Source], tmp_path: Path
) -> None:
    source = source_of("file")
    async with LabGateway() as gateway:
        gateway.registrar.add_token(FIRST, "door")
        async with door_at(gateway, tmp_path, source) as door:
            offline = await door.event("line_state", line="lab", state="offline")
            assert offline["detail"] == "waiting for its login token"
            await door.event("warning", code=34001)
            assert gateway.visits == []
            source.put(FIRST)
            await door.line_ready()
            await used(gateway, FIRST)
