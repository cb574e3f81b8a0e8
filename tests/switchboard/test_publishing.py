"""How often the device writes its retained state: when something is another, not with the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.lab.gateway import LabGateway
from tests.device import PASSWORD, config_of, device

pytestmark = pytest.mark.interop


async def test_the_state_is_not_rewritten_while_a_call_just_goes_on(tmp_path: Path) -> None:
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path), tmp_path) as door,
    ):
        await door.line_ready()
        before = len(door.states)
        await door.command("call", target="reception")
        await door.call_state("active")
        await door.event("warning", code=31005)  # told after three seconds: from here on nothing changes for a while
        settled = len(door.states)
        assert settled - before < 20, "a call's set-up is a handful of changes"
        await door.seconds(4)
        assert len(door.states) - settled <= 1
        assert all("figures" not in state for state in door.states)
