"""What stands under `warnings` in the state: it is told, and gone when it is over, and not a moment before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.calls.codes import Code
from agent.gateway.events import LineChanged, LineState, warning
from agent.lab.gateway import LabGateway
from tests.conversation.test_conversation import CONNECTED
from tests.device import PASSWORD, Device, config_of, device

pytestmark = pytest.mark.interop


def standing(door: Device) -> list[int]:
    """In the newest state that was published."""
    return [each["code"] for each in door.states[-1]["warnings"]]


async def test_a_line_warning_is_cleared_aloud_when_the_line_is_ready(tmp_path: Path) -> None:
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path), tmp_path) as door,
    ):
        await door.line_ready()
        await door.until(lambda: door.states[-1]["lines"]["lab"]["state"] == "ready")
        gateway.faults.gateway_states = ["FAILED"]
        gateway.abort("door")
        failed = await door.event("warning", code=45004)
        await door.until(lambda: standing(door) == [45004])
        cleared = await door.event("warning", code=45004, cleared=True)
        assert (cleared["line"], cleared["call_id"], failed["cleared"]) == ("lab", None, False)
        await door.line_ready(number=2)
        assert standing(door) == []


async def test_a_token_that_ends_soon_is_not_mended_by_a_login_with_it(tmp_path: Path) -> None:
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path), tmp_path) as door,
    ):
        await door.line_ready()
        board = door.app.switchboard
        board.on_line_event(warning("lab", Code.TOKEN_EXPIRING_SOON, "no new login token"))
        board.on_line_event(warning("lab", Code.SIGNALING_RECOVERY_REQUIRED, "the gateway is silent"))
        assert standing(door) == [34001, 36003]
        gateway.abort("door")
        await door.line_ready(number=2)
        assert standing(door) == [34001]
        board.on_line_event(LineChanged("lab", LineState.REJECTED, "the gateway refused the login"))
        gateway.abort("door")
        await door.line_ready(number=3)  # so the token that was in doubt is good
        assert standing(door) == []


async def test_a_second_call_and_another_way_are_told_and_do_not_stand(tmp_path: Path) -> None:
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path), tmp_path) as door,
    ):
        await door.line_ready()
        await door.command("call", target="reception")
        await door.call_state("active")
        leg = await gateway.call("door")
        assert (await door.event("warning", code=33010))["call_id"] == leg.call_id
        present = door.app.switchboard.present
        assert present is not None
        for pair in ("one way", "one way", "another way"):
            door.app.switchboard.noted(present, replace(CONNECTED, pair=pair))
        changes = [event for name, event in door.events if name == "warning" and event["code"] == 33008]
        assert [event["text"].split(": ")[-1] for event in changes][-1:] == ["another way"]
        assert standing(door) == []
        door.app.switchboard.noted(present, replace(CONNECTED, pair="another way", only_host=True))
        assert standing(door) == [33005]
        await door.command("hangup")
        await door.ended()
        assert standing(door) == []
