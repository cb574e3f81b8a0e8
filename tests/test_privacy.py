"""The privacy switch: what the far end hears, what the device says, and that nothing remote undoes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.calls.commands import CommandError
from agent.lab.far_end import FarEnd
from agent.lab.gateway import LabGateway
from agent.lab.voice import RATE_HZ
from agent.lab.wire import TELNYX
from hardware.virtual_board import VirtualBoard
from tests.device import PASSWORD, Device, device
from tests.talking import Talk, config_for, loud_seconds, talker, talking

pytestmark = pytest.mark.interop

INPUTS: dict[str, Any] = {"shutter": {"gpio": 5, "kind": "privacy"}}
BUTTONS: dict[str, Any] = {
    "ptt": {"gpio": 22, "press": {"event": "x"}, "hold": "mute", "hold_s": 0.2},
}


def switch(door: Device, *, on: bool) -> None:
    assert isinstance(door.app.board, VirtualBoard)
    door.app.board.switch("shutter", active=on)


async def silence(door: Device, far_end: FarEnd) -> None:
    """What left before is heard out, then a whole second is silent, and packets still come."""
    await door.seconds(1)
    size, packets = far_end.heard.samples.size, door.figures[-1]["packets_sent"]
    await door.until(lambda: far_end.heard.samples.size > size + RATE_HZ)
    assert loud_seconds(far_end.heard.samples[-RATE_HZ:]) == 0.0
    await door.until(lambda: door.figures[-1]["packets_sent"] > packets)


async def test_nothing_remote_undoes_it_and_the_switch_does(tmp_path: Path) -> None:
    async with talking(TELNYX, tmp_path, inputs=INPUTS, buttons=BUTTONS) as talk:
        door, far_end = talk.door, talk.far_end
        assert door.states[-1]["privacy"] is False
        switch(door, on=True)
        await door.event("input", input="shutter", kind="privacy", active=True)
        await door.until(lambda: door.states[-1]["privacy"] is True)
        assert door.states[-1]["microphone_open"] is False
        assert door.states[-1]["inputs"] == {"shutter": True}
        await silence(door, far_end)
        with pytest.raises(CommandError, match="privacy switch is on"):
            await door.command("mute", muted=False)
        assert (await door.command("mute"))["muted"] is True
        with pytest.raises(CommandError, match="only the switch at the device"):
            await door.command("mute")  # which would unmute
        await door.app.press("ptt", 0.4)
        await door.event("button", button="ptt", action="released")
        await door.command("hold", held=True)
        await door.command("hold", held=False)
        door.kill_media()
        await door.event("media_restarted")
        await silence(door, far_end)
        assert door.states[-1]["microphone_open"] is False
        switch(door, on=False)
        await door.until(lambda: door.states[-1]["privacy"] is False)
        assert door.states[-1]["microphone_open"] is True
        assert door.states[-1]["muted"] is True  # as it was asked for meanwhile
        await silence(door, far_end)
        await door.command("mute", muted=False)
        await both(talk)


async def both(talk: Talk) -> None:
    await talk.both_hear_each_other()


async def test_a_call_with_the_switch_on_never_opens_the_microphone(tmp_path: Path) -> None:
    async with LabGateway(TELNYX, users={"door": PASSWORD}) as gateway:
        gateway.register_far_end("talker", talker(TELNYX))
        async with device(config_for(gateway, tmp_path, inputs=INPUTS), tmp_path) as door:
            await door.line_ready()
            await door.until(lambda: door.states[-1]["inputs"] == {"shutter": False})
            switch(door, on=True)
            await door.until(lambda: door.states[-1]["privacy"] is True)
            # The microphone is a file: with it away, whoever opens it would be told.
            (tmp_path / "says.wav").unlink()
            await gateway.call("door", talker(TELNYX)())
            await door.event("incoming_call")
            await door.command("answer")
            await door.call_state("active")
            await door.seconds(3)
            far_end = gateway.legs[-1].far_end
            assert far_end is not None
            assert far_end.heard.samples.size > RATE_HZ
            assert loud_seconds(far_end.heard.samples) == 0.0
            assert not any(state["microphone_open"] for state in door.states)
            assert not any(event == "audio_failed" for event, _ in door.events)


async def test_until_the_switch_has_been_read_it_counts_as_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr("agent.app.App._on_input", lambda _self, *change: told.append(change))
    async with (
        LabGateway(TELNYX, users={"door": PASSWORD}) as gateway,
        device(config_for(gateway, tmp_path, inputs=INPUTS), tmp_path) as door,
    ):
        await door.line_ready()
        assert door.states[-1]["privacy"] is True
        assert door.app._media.microphone_shut
