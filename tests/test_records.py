"""What is written down of calls and where it goes: call reports to Telnyx, timelines to a file or the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.lab.gateway import LabGateway
from agent.lab.wire import VERTO
from tests.device import PASSWORD, Device, config_of, device
from tests.parties import PATIENCE_S

pytestmark = pytest.mark.interop

SECRET_HEADER, SECRET_VARIABLE = "header-of-mine", "variable-of-mine"


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(users={"door": PASSWORD}) as running:
        yield running


def lines_at(gateway: LabGateway, **more: Any) -> dict[str, Any]:
    return {"lab": {"host": gateway.url, "login": "door", "password": PASSWORD, **more}}


async def talk(door: Device, seconds: int = 2, **options: Any) -> str:
    """A call of so many seconds; its id."""
    await door.line_ready()
    call_id = (await door.command("call", target="reception", options=options))["call_id"]
    await door.call_state("active")
    await door.seconds(seconds)
    await door.command("hangup")
    await door.ended()
    return str(call_id)


async def test_a_report_reaches_telnyx_without_what_is_the_owners_affair(gateway: LabGateway, tmp_path: Path) -> None:
    config = config_of(gateway.url, tmp_path, lines=lines_at(gateway, callReports=True))
    async with device(config, tmp_path) as door:
        call_id = await talk(
            door,
            callerNumber="+15550177",
            mutedMicOnStart=True,
            customHeaders=[{"name": "X-Secret", "value": SECRET_HEADER}],
            userVariables={"mine": SECRET_VARIABLE},
        )
        async with asyncio.timeout(PATIENCE_S):
            upload = await gateway.wait_upload()
    session = gateway.registrar.session_of("door")
    assert session is not None
    assert upload.path == "/call_report"
    assert upload.headers["x-call-id"] == call_id
    assert upload.headers["x-call-report-id"] == f"lab-{session.sessid}"
    assert upload.headers["x-voice-sdk-id"] == session.voice_sdk_id
    summary = upload.body["summary"]
    assert (summary["callId"], summary["direction"]) == (call_id, "outbound")
    assert (summary["destinationNumber"], summary["callerNumber"]) == ("+15550100", "+15550177")
    assert summary["clientSummary"]["authentication"] == {"type": "login_password"}
    assert summary["clientSummary"]["media"]["mutedMicOnStart"] is True
    assert summary["durationSeconds"] > 1
    assert len(upload.body["stats"]) >= 2
    assert upload.body["stats"][-1]["audio"]["inbound"]["packetsReceived"] > 50
    (leg,) = gateway.legs
    names = ("telnyxSessionId", "telnyxLegId", "telnyxCallControlId")
    ids = ("telnyx_session_id", "telnyx_leg_id", "telnyx_call_control_id")
    assert [summary[name] for name in names] == [leg.ids[name] for name in ids]
    path = {"candidateType": "host", "protocol": "udp"}
    assert upload.body["stats"][-1]["ice"] == {"local": path, "remote": path}
    for secret in (PASSWORD, SECRET_HEADER, SECRET_VARIABLE):
        assert secret not in json.dumps([upload.body, upload.headers])


async def test_what_there_is_is_reported_when_the_socket_is_lost_and_the_rest_at_the_end(
    gateway: LabGateway, tmp_path: Path
) -> None:
    config = config_of(gateway.url, tmp_path, lines=lines_at(gateway, callReports=True))
    async with device(config, tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="reception")
        await door.call_state("active")
        await door.seconds(2)
        gateway.abort("door")
        async with asyncio.timeout(PATIENCE_S):
            lost = (await gateway.wait_upload()).body
        await door.line_ready()
        await door.seconds(1)
        await door.command("hangup")
        await door.ended()
        async with asyncio.timeout(PATIENCE_S):
            rest = (await gateway.wait_upload(2)).body
    assert (lost["segment"], lost["flushReason"]) == (0, {"type": "socket-close", "socketClose": {}})
    assert lost["summary"]["state"] == "active"
    assert (rest["segment"], rest["summary"]["state"]) == (1, "destroy")
    assert "flushReason" not in rest
    seconds = [second["intervalStartUtc"] for part in (lost, rest) for second in part["stats"]]
    assert seconds == sorted(set(seconds))
    assert len(lost["stats"]) >= 2
    assert rest["stats"][0]["intervalStartUtc"] == lost["stats"][-1]["intervalEndUtc"]
    assert lost["summary"]["telnyxSessionId"] == rest["summary"]["telnyxSessionId"]


async def test_nothing_is_reported_unasked(gateway: LabGateway, tmp_path: Path) -> None:
    async with device(config_of(gateway.url, tmp_path), tmp_path) as door:
        await talk(door, 1)
    # The device has stopped, which waits for reports under way.
    assert gateway.uploads == []
    assert not [frame for frame in gateway.frames if "debug_report_id" in frame.message]


async def test_a_timeline_is_a_file_of_lines_in_the_state_folder(gateway: LabGateway, tmp_path: Path) -> None:
    state = {"state_dir": str(tmp_path / "state"), "control_socket": str(tmp_path / "door.sock")}
    config = config_of(gateway.url, tmp_path, service=state)
    async with device(config, tmp_path) as door:
        call_id = await talk(door, debug=True, debugOutput="file")
        path = tmp_path / "state" / "timelines"
        async with asyncio.timeout(PATIENCE_S):
            while not (files := [file for file in path.glob("*") if file.read_text().endswith("\n")]):
                await asyncio.sleep(0.02)
    (file,) = files
    assert call_id in file.name
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    states = [line["state"] for line in lines if line["event"] == "state"]
    assert states == ["new", "requesting", "trying", "ringing", "active", "ended"]
    assert lines[-1]["reason"] == "local_hangup"
    assert {"event": "path", "local": "host", "remote": "host", "protocol": "udp"} in [
        {name: value for name, value in line.items() if name != "ms"} for line in lines
    ]
    stats = [line for line in lines if line["event"] == "stats"]
    assert len(stats) >= 2
    assert stats[-1]["packets_received"] > 50
    assert [line["ms"] for line in lines] == sorted(line["ms"] for line in lines)
    assert "ice-pwd" not in file.read_text()
    assert not [frame for frame in gateway.frames if "debug_report_id" in frame.message]


async def test_a_timeline_goes_to_telnyx_by_the_socket_but_not_to_freeswitch(
    gateway: LabGateway, tmp_path: Path
) -> None:
    async with device(config_of(gateway.url, tmp_path), tmp_path) as door:
        call_id = await talk(door, debug=True)  # the socket is where it goes when nothing else is said
    sent = [frame.message for frame in gateway.frames if frame.from_client and "debug_report_id" in frame.message]
    kinds = [frame["type"] for frame in sent]
    assert kinds[0] == "debug_report_start"
    assert kinds[-1] == "debug_report_stop"
    assert set(kinds[1:-1]) == {"debug_report_data"}
    assert {frame["call_id"] for frame in sent} == {call_id}
    assert len({frame["debug_report_id"] for frame in sent}) == 1
    told = [frame["debug_report_data"]["data"].get("state") for frame in sent[1:-1]]
    assert [state for state in told if state][-2:] == ["active", "ended"]
    async with LabGateway(VERTO, users={"door": PASSWORD}) as switch:
        lines = lines_at(switch, dialect="verto")
        async with device(config_of(switch.url, tmp_path, lines=lines), tmp_path) as door:
            await talk(door, 1, debug=True)
        assert not [frame for frame in switch.frames if "debug_report_id" in frame.message]
