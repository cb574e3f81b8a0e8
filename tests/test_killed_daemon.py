"""A daemon that is killed in a call and started again takes the call up, and nothing else that it finds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent.lab.far_end import FarEnd
from agent.lab.gateway import LabGateway
from agent.lab.voice import RATE_HZ
from agent.lab.wire import TELNYX, VERTO, Dialect
from tests.device import PASSWORD, PATIENCE_S
from tests.interop.daemon import Daemon, daemon
from tests.talking import DIALECTS, config_for, loud_seconds, talker

pytestmark = pytest.mark.interop


def media_process_of(running: Daemon) -> int:
    """The only child that a daemon has."""
    pid = running.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


async def ends(pid: int) -> None:
    """Until there is no such process any more; it is nobody's child, or another's, that could be waited for."""
    async with asyncio.timeout(PATIENCE_S):
        while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
            await asyncio.sleep(0.02)


def call_file(config: dict[str, Any]) -> Path:
    return Path(config["service"]["control_socket"]).with_suffix(".call.json")


async def call_of(running: Daemon) -> dict[str, Any]:
    """The call that is going on, as the daemon shows it."""
    call: dict[str, Any] | None = (await running.ask("status"))["state"]["call"]
    assert call is not None
    return call


def loud_now(far_end: FarEnd) -> bool:
    return loud_seconds(far_end.heard.samples[-RATE_HZ:]) > 0.9


async def hears_anew(far_end: FarEnd, *, loud: bool = True) -> None:
    """For a second from now on, the far end hears the device, or (`loud` False) packets of silence."""
    frames = far_end.heard.audible_frames
    async with asyncio.timeout(PATIENCE_S):
        while far_end.heard.audible_frames < frames + 1.5 * RATE_HZ or loud_now(far_end) != loud:
            await asyncio.sleep(0.05)


async def plays(running: Daemon) -> None:
    """The device plays the far end's voice, in a second's figures that are still to come."""
    seen = len(running.events)

    def loud(event: dict[str, Any]) -> bool:
        return event["type"] == "figures" and event["playback_dbfs"] > -20 and event in running.events[seen:]

    await running.until(loud)


@pytest.mark.parametrize(
    ("dialect", "way", "state"),
    [
        (TELNYX, "attached", "outbound, active"),
        (TELNYX, "attached", "inbound, active"),
        (TELNYX, "attached", "held"),
        (TELNYX, "only listed", "outbound, active"),
        (TELNYX, "only listed", "inbound, active"),
        (TELNYX, "only listed", "muted"),
        (TELNYX, "only listed", "held"),
        (VERTO, "attached", "inbound, active"),
        (VERTO, "attached", "held"),
    ],
    ids=lambda value: value.prefix if isinstance(value, Dialect) else value,
)
async def test_a_daemon_that_is_killed_in_a_call_takes_it_up_again(
    dialect: Dialect, way: str, state: str, tmp_path: Path
) -> None:
    async with LabGateway(dialect, users={"door": PASSWORD}, trickles=True) as gateway:
        gateway.register_far_end("talker", talker(dialect))
        gateway.faults.attach_calls = way == "attached"
        config = config_for(gateway, tmp_path)
        async with daemon(config, tmp_path) as first:
            if state.startswith("inbound"):
                leg = await gateway.call("door", talker(dialect)())
                await first.until(lambda event: event["type"] == "incoming_call")
                await first.ask("answer")
            else:
                await first.ask("call", target="talker")
                leg = await gateway.wait_call()
            await first.call_state("active")
            far_end = leg.far_end
            assert far_end is not None
            await hears_anew(far_end)
            if state == "muted":
                await first.ask("mute", muted=True)
            if state == "held":
                await first.ask("hold", held=True)
            before = await call_of(first)
            media_process = media_process_of(first)
            await first.kill()
            await ends(media_process)
        async with daemon(config, tmp_path) as second:
            call = await call_of(second)
            for name in ("id", "direction", "state", "line", "target", "number", "name"):
                assert call[name] == before[name], name
            assert (before["is_recovered"], call["is_recovered"]) == (False, True)
            assert call["telnyx"] == before["telnyx"]
            assert call["duration_s"] > before["duration_s"]
            silent = state in {"muted", "held"}
            await hears_anew(far_end, loud=not silent)
            if state != "held":
                await plays(second)
            assert (await second.ask("status"))["state"]["muted"] == (state == "muted")
            if state == "muted":
                await second.ask("mute", muted=False)
            if state == "held":
                await second.ask("hold", held=False)
            if silent:
                await hears_anew(far_end)
                await plays(second)
            assert bool(gateway.frames.received("attach")) == (way == "attached")
            assert len(gateway.legs) == 1
            assert not leg.ended.is_set()
            assert call_file(config).exists()
            await second.ask("hangup")
            ended = await second.ended()
            assert (ended["reason"], ended["id"]) == ("local_hangup", before["id"])
            async with asyncio.timeout(PATIENCE_S):
                await leg.ended.wait()
            assert not call_file(config).exists()


async def killed_in_a_call(gateway: LabGateway, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A daemon places a call, talks, and is killed; the call, as it was shown last."""
    async with daemon(config, folder) as first:
        number = len(gateway.legs) + 1
        await first.ask("call", target="talker")
        leg = await gateway.wait_call(number)
        await first.call_state("active")
        assert leg.far_end is not None
        await hears_anew(leg.far_end)
        call = await call_of(first)
        await first.kill()
    return call


@DIALECTS
async def test_a_gateway_that_forgot_the_call_of_a_killed_daemon_ends_it(dialect: Dialect, tmp_path: Path) -> None:
    async with LabGateway(dialect, users={"door": PASSWORD}) as gateway:
        gateway.register_far_end("talker", talker(dialect))
        config = config_for(gateway, tmp_path)
        call = await killed_in_a_call(gateway, config, tmp_path)
        gateway.faults.forget_calls = True
        async with daemon(config, tmp_path) as second:
            state = await idle(second)
            assert (state["last_call"]["id"], state["last_call"]["reason"]) == (call["id"], "gateway_lost")
            assert not call_file(config).exists()
            gateway.faults.forget_calls = False
            await second.ask("call", target="talker")  # and the device is as it was before
            await second.call_state("active")


async def test_a_call_whose_session_the_gateway_gave_up_is_not_taken_up(tmp_path: Path) -> None:
    async with LabGateway(users={"door": PASSWORD}, session_keep_s=0.1) as gateway:
        gateway.register_far_end("talker", talker(TELNYX))
        config = config_for(gateway, tmp_path)
        call = await killed_in_a_call(gateway, config, tmp_path)
        async with asyncio.timeout(PATIENCE_S):
            await gateway.legs[0].ended.wait()
        async with daemon(config, tmp_path) as second:
            state = await idle(second)
            assert (state["last_call"]["id"], state["last_call"]["reason"]) == (call["id"], "gateway_lost")


async def idle(running: Daemon) -> dict[str, Any]:
    """Until there is no call any more; the whole state then."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            state: dict[str, Any] = (await running.ask("status"))["state"]
            if state["state"] == "idle":
                return state
            await asyncio.sleep(0.02)


FOREIGN = {
    "another boot": lambda kept: {**kept, "boot_id": "another"},
    "too old": lambda kept: {**kept, "saved_s": kept["saved_s"] - 91.0},
    "a line that is no more": lambda kept: {**kept, "call": {**kept["call"], "line": "former"}},
    "not answered": lambda kept: {**kept, "call": {**kept["call"], "state": "ringing"}},
    "no call": lambda kept: {},
}


async def test_a_kept_call_that_is_not_this_devices_or_too_old_is_left_alone(tmp_path: Path) -> None:
    async with LabGateway(users={"door": PASSWORD}) as gateway:
        gateway.register_far_end("talker", talker(TELNYX))
        config = config_for(gateway, tmp_path)
        await killed_in_a_call(gateway, config, tmp_path)
        path = call_file(config)
        kept = json.loads(path.read_text())
        for what, change in FOREIGN.items():
            path.write_text(json.dumps(change(kept)))
            async with daemon(config, tmp_path) as second:
                assert (await second.ask("status"))["state"]["state"] == "idle", what
                assert (await second.ask("status"))["state"]["last_call"] is None, what
            assert not path.exists(), what


async def test_a_daemon_that_is_stopped_in_a_call_leaves_no_call_behind(tmp_path: Path) -> None:
    async with LabGateway(users={"door": PASSWORD}) as gateway:
        gateway.register_far_end("talker", talker(TELNYX))
        config = config_for(gateway, tmp_path)
        async with daemon(config, tmp_path) as running:
            await running.ask("call", target="talker")
            await running.call_state("active")
            assert call_file(config).exists()
            assert call_file(config).stat().st_mode & 0o777 == 0o600
        assert gateway.legs[0].ended_by_client
        assert not call_file(config).exists()


async def test_a_taken_up_call_survives_a_socket_that_drops_at_once_and_a_second_kill(tmp_path: Path) -> None:
    async with LabGateway(users={"door": PASSWORD}) as gateway:
        gateway.register_far_end("talker", talker(TELNYX))
        config = config_for(gateway, tmp_path)
        call = await killed_in_a_call(gateway, config, tmp_path)
        far_end = gateway.legs[0].far_end
        assert far_end is not None
        async with daemon(config, tmp_path) as second:
            assert (await call_of(second))["id"] == call["id"]
            await second.kill()  # before it has a path
        async with daemon(config, tmp_path) as third:
            gateway.abort()
            await hears_anew(far_end)
            await plays(third)
            again = await call_of(third)
            assert (again["id"], again["duration_s"] > call["duration_s"]) == (call["id"], True)


@pytest.mark.parametrize("way", ["attached", "only listed"])
async def test_a_hang_up_while_a_call_is_being_taken_up_ends_it(way: str, tmp_path: Path) -> None:
    async with LabGateway(users={"door": PASSWORD}) as gateway:
        gateway.register_far_end("talker", talker(TELNYX))
        gateway.faults.attach_calls = way == "attached"
        gateway.faults.silent_methods = {"attach", "modify.updateMedia"}  # the answer is under way for ever
        config = config_for(gateway, tmp_path)
        await killed_in_a_call(gateway, config, tmp_path)
        async with daemon(config, tmp_path) as second:
            async with asyncio.timeout(PATIENCE_S):
                await gateway.wait_received("attach" if way == "attached" else "modify")
            await second.ask("hangup")
            async with asyncio.timeout(PATIENCE_S):
                await gateway.legs[0].ended.wait()
            assert gateway.legs[0].ended_by_client
            assert (await idle(second))["last_call"]["reason"] == "local_hangup"
        assert not call_file(config).exists()
