"""What a client says, reduced to its shape: the order of methods, the names of all keys, the values of the options.

Recorded shapes of Telnyx's SDK are in `tests/interop/golden`, one file a scenario. A file holds, first to last,

    requests   each with its method (and action), the keys of the frame, its params and its dialogParams, and those
               values of the dialogParams that the options decide
    acks       the methods of the gateway's requests that the client confirmed

Four things depend on timing alone and are left out: pings (unless the scenario is about them), how many candidates or
debug lines follow one another, whether the SDK's clock, which runs on until it has stopped reporting, gave one more
debug line after the BYE, and whether the call's Telnyx ids were known when a candidate was sent.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agent.lab.gateway import LabGateway
from tests.interop.sdk.values import options_in

FOLDER = Path(__file__).parents[1] / "golden"

Json = dict[str, Any]
Shape = dict[str, list[Any]]

GUARD_S = 60.0  # against hanging for ever
PATIENCE_S = 10.0  # for what is still on its way: a confirmation, a reconnect
LOOK_S = 0.05

ENVELOPE = {"jsonrpc", "id"}
REPEATED = {"candidate", "debug_report_data", "debug_report_stop"}
WITHOUT_IDS = {"candidate", "endOfCandidates"}
TELNYX_IDS = {"telnyxCallControlId", "telnyxSessionId", "telnyxLegId"}
AFTER_THE_CALL = {"bye", "debug_report_stop"}
PING = "ping"
UPDATE = "modify updateMedia"


def shape(messages: Iterable[Json], *, with_pings: bool = False, early_candidates: bool = False) -> Shape:
    """The shape of what one client sent, in order.

    `early_candidates` leaves out those that follow an updateMedia: how many get out before it is refused is chance.
    """
    requests: list[Json] = []
    acks: list[str] = []
    for message in messages:
        if "method" in message or "type" in message:
            request = _request(message)
            again = bool(requests) and request == requests[-1] and request["method"] in REPEATED
            chance = early_candidates and request["method"] == "candidate" and requests[-1]["method"] == UPDATE
            late = request["method"] == "debug_report_data" and requests[-1]["method"] in AFTER_THE_CALL
            if not (again or chance or late) and (with_pings or request["method"] != PING):
                requests.append(request)
        elif isinstance(message.get("result"), dict) and "method" in message["result"]:
            ack = _name(message["result"]["method"])
            if not (acks and acks[-1] == ack and ack in REPEATED):
                acks.append(ack)
    return {"requests": requests, "acks": acks}


def said_by(gateway: LabGateway, login: str | None = None) -> list[Json]:
    """What this login (or whoever logged in) has sent to the lab gateway, over all its connections."""
    frames = [frame for frame in gateway.frames if frame.from_client]
    own = {frame.connection for frame in frames if login in (None, frame.message.get("params", {}).get("login"))}
    return [frame.message for frame in frames if frame.connection in own]


async def repeats(
    gateway: LabGateway,
    name: str,
    login: str | None = None,
    *,
    with_pings: bool = False,
    early_candidates: bool = False,
) -> None:
    """Wait until what this login has sent has the recorded shape; fails with the difference."""
    recorded = load(name)
    give_up_s = time.monotonic() + PATIENCE_S
    while (
        said := shape(said_by(gateway, login), with_pings=with_pings, early_candidates=early_candidates)
    ) != recorded and time.monotonic() < give_up_s:
        await asyncio.sleep(LOOK_S)
    difference = difflib.unified_diff(_lines(recorded), _lines(said), "recorded", "now", lineterm="", n=0)
    assert said == recorded, f"{name}:\n" + "\n".join(difference)


async def received(gateway: LabGateway, method: str, times: int = 1) -> None:
    """Wait until clients have sent this request so often."""
    async with asyncio.timeout(GUARD_S):
        await gateway.wait_received(method, times)


def raw(method: str, call: str, number: int, **params: Any) -> str:
    """A request of the gateway that the lab has no use for itself."""
    request = {"jsonrpc": "2.0", "id": number, "method": f"telnyx_rtc.{method}", "params": {"callID": call, **params}}
    return json.dumps(request)


def load(name: str) -> Shape:
    """A recorded shape."""
    recorded: Shape = json.loads((FOLDER / f"{name}.json").read_text())["shape"]
    return recorded


def save(name: str, source: str, recorded: Shape) -> None:
    """Keep a shape, one request a line."""
    lines = ",\n".join(f"      {json.dumps(request)}" for request in recorded["requests"])
    text = (
        f'{{\n  "recorded": {json.dumps(source)},\n  "shape": {{\n    "requests": [\n{lines}\n    ],\n'
        f'    "acks": {json.dumps(recorded["acks"])}\n  }}\n}}\n'
    )
    (FOLDER / f"{name}.json").write_text(text)


def _request(message: Json) -> Json:
    method = _name(message.get("method") or message["type"])
    params = message.get("params") or {}
    dialog = params.get("dialogParams") or {}
    keys = set(dialog) - (TELNYX_IDS if method in WITHOUT_IDS else set())
    return {
        "method": f"{method} {params['action']}" if "action" in params else method,
        "keys": " ".join(sorted(message.keys() - ENVELOPE)),
        "params": " ".join(sorted(params)),
        "dialogParams": " ".join(sorted(keys)),
        "options": options_in(dialog),
    }


def _lines(each: Shape) -> list[str]:
    return [json.dumps(request) for request in each["requests"]] + [f"ack {method}" for method in each["acks"]]


def _name(method: str) -> str:
    return method.rpartition(".")[2]
