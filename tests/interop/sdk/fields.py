"""What the device says to the gateway beside what Telnyx's SDK says in the same test: the keys of each message."""

from __future__ import annotations

import json
from typing import Any

from agent.lab.gateway import LabGateway
from tests.interop.sdk.device import NAME
from tests.interop.sdk.golden import said_by, shape
from tests.interop.sdk.telephone import LOGIN

Json = dict[str, Any]

# Keys of one side only: (message or "*", where, key) -> why. "-" in front: the SDK's alone; "+": the device's alone.
INTENDED_DIFFERENCES: dict[tuple[str, str, str], str] = {
    ("*", "dialogParams", "-iceServers"): "holds TURN credentials: they never leave the ICE agent",
}


def keys_of(request: Json, field: str) -> set[str]:
    return set(str(request[field]).split())


def differences(ours: Json, theirs: Json) -> set[tuple[str, str, str]]:
    """What one message has and the other has not."""
    found = set()
    for field in ("keys", "params", "dialogParams"):
        for key in keys_of(theirs, field) - keys_of(ours, field):
            found.add((ours["method"], field, f"-{key}"))
        for key in keys_of(ours, field) - keys_of(theirs, field):
            found.add((ours["method"], field, f"+{key}"))
    return found


def said_by_login(gateway: LabGateway, login: str) -> dict[str, Json]:
    """The first message of each method and action of this login."""
    requests = shape(said_by(gateway, login))["requests"]
    return {request["method"]: request for request in reversed(requests)}


def compare(gateway: LabGateway, methods: set[str]) -> None:
    """Both must have sent these messages, with equal keys but for `INTENDED_DIFFERENCES`."""
    ours, theirs = said_by_login(gateway, NAME), said_by_login(gateway, LOGIN)
    assert methods <= ours.keys() & theirs.keys()
    found = {difference for method in methods for difference in differences(ours[method], theirs[method])}
    unintended = {
        (method, where, key)
        for method, where, key in found
        if not {(method, where, key), ("*", where, key)} & INTENDED_DIFFERENCES.keys()
    }
    assert not unintended, json.dumps(sorted(unintended), indent=1)
