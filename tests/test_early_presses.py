"""Presses while the daemon is still starting: kept, acted on once it is ready, unless they are too old."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest

from agent.header import Header
from agent.lab.gateway import LabGateway
from agent.settings.load import parse_config
from agent.settings.model import Config
from hardware.buttons import ButtonEvent
from hardware.virtual_board import VirtualBoard
from tests.device import PASSWORD, config_of, device

pytestmark = pytest.mark.interop

GUARD_S = 20.0
Told = tuple[str, ButtonEvent | bool]


class WatchedHeader(Header):
    """Says what it has been told."""

    def __init__(self, config: Config) -> None:
        self.told: queue.Queue[Told] = queue.Queue()
        super().__init__(config)

    def _tell(self, name: str, event: ButtonEvent | bool) -> None:
        super()._tell(name, event)
        self.told.put((name, event))

    def tap(self, button: str) -> None:
        """Press, and return when the release has been told as well."""
        assert isinstance(self.board, VirtualBoard)
        self.board.press(button, 0.1)
        while self.told.get(timeout=GUARD_S) != (button, ButtonEvent.RELEASED):
            pass


async def test_a_press_before_the_daemon_is_loaded_places_its_call_once_that_is_ready(tmp_path: Path) -> None:
    async with LabGateway(users={"door": PASSWORD}) as gateway:
        config = config_of(gateway.url, tmp_path)
        header = WatchedHeader(parse_config(config, tmp_path))
        header.tap("bell")
        async with device(config, tmp_path, header) as door:
            call = await door.call_state("active")
            assert (call["target"], call["direction"]) == ("reception", "outbound")
            assert [data["action"] for event, data in door.events if event == "button"] == ["pressed", "released"]
            await door.press("bell")  # press_again: it is known to be this button's call
            assert (await door.ended())["reason"] == "local_hangup"


async def test_a_press_that_is_too_old_is_said_and_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inputs = {"door": {"gpio": 5, "kind": "door_contact"}}
    async with LabGateway(users={"door": PASSWORD}) as gateway:
        config = config_of(gateway.url, tmp_path, inputs=inputs)
        header = WatchedHeader(parse_config(config, tmp_path))
        header.tap("bell")
        monkeypatch.setattr("agent.header.KEPT_PRESS_S", 0.0)
        async with device(config, tmp_path, header) as door:
            await door.line_ready()
            await door.until(lambda: door.states[-1]["inputs"] == {"door": True})  # a state does not age
            assert door.app.switchboard.snapshot()["state"] == "idle"
            assert "button bell: pressed" in caplog.text
            assert "too long ago" in caplog.text
            await door.press("bell")
            await door.call_state("active")


def test_what_comes_later_is_told_after_what_was_kept(tmp_path: Path) -> None:
    header = WatchedHeader(parse_config(config_of("ws://127.0.0.1:1", tmp_path), tmp_path))
    try:
        header.tap("bell")
        heard: list[Told] = []
        header.connect(lambda *event: heard.append(event), lambda *event: heard.append(event), lambda *_: None)
        header.tap("bell")
    finally:
        header.board.close()
    assert heard == [("bell", ButtonEvent.PRESSED), ("bell", ButtonEvent.RELEASED)] * 2
