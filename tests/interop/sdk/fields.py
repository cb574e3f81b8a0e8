"""What the device says to the gateway beside what Telnyx's SDK says in the same test.

Compared are the order of the messages, the keys of each, and the values of those keys that the options decide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.lab.gateway import LabGateway
from tests.interop.sdk.device import NAME
from tests.interop.sdk.golden import REPEATED, said_by, shape
from tests.interop.sdk.telephone import LOGIN
from tests.interop.sdk.values import decided

Json = dict[str, Any]
Difference = tuple[str, str, str]
NONE: Mapping[Difference, str] = {}

# (message or "*", where, key) -> why. Before the key: "-" the SDK alone has it, "+" the device alone has it, "~" they
# have different values. docs/call-options.md tells the owner.
INTENDED_DIFFERENCES: Mapping[Difference, str] = {
    ("*", "dialogParams", "-iceServers"): "holds TURN credentials: they never leave the ICE agent",
}


def keys_of(request: Json, field: str) -> set[str]:
    return set(str(request[field]).split())


def differences(ours: Json, theirs: Json) -> dict[Difference, Any]:
    """What one message has and the other has not, or has otherwise; with both values where there are two."""
    method, found = ours["method"], {}
    for field in ("keys", "params", "dialogParams"):
        found |= {(method, field, f"-{key}"): None for key in keys_of(theirs, field) - keys_of(ours, field)}
        found |= {(method, field, f"+{key}"): None for key in keys_of(ours, field) - keys_of(theirs, field)}
    for field, values in ours["values"].items():
        for key in values.keys() & theirs["values"][field].keys():
            both = (values[key], theirs["values"][field][key])
            if len({json.dumps(value) for value in both}) > 1:  # as they are written: 30 is not 30.0, true not 1
                found[(method, field, f"~{key}")] = both
    return found


def said_by_login(gateway: LabGateway, login: str) -> list[Json]:
    """The messages of this login, in order: the first of those that follow one another, as shape and values."""
    said = [message for message in said_by(gateway, login) if "method" in message or "type" in message]
    return [
        {**request, "values": decided(message, login)} for message in said for request in shape([message])["requests"]
    ]


def compare(gateway: LabGateway, methods: set[str], intended: Mapping[Difference, str] = NONE) -> None:
    """Both must have sent these messages, in one order, with equal keys and values but for `INTENDED_DIFFERENCES` and
    those that this test names."""
    said = [
        [request for request in said_by_login(gateway, login) if request["method"] in methods]
        for login in (NAME, LOGIN)
    ]
    ours, theirs = ({request["method"]: request for request in reversed(requests)} for requests in said)
    assert ours.keys() == theirs.keys() == methods
    assert order(said[0]) == order(said[1])
    found: dict[Difference, Any] = {}
    for method in methods:
        found |= differences(ours[method], theirs[method])
    unintended = {
        f"{method} {where} {key}": both
        for (method, where, key), both in found.items()
        if not {(method, where, key), ("*", where, key)} & (INTENDED_DIFFERENCES.keys() | intended.keys())
    }
    assert not unintended, json.dumps(unintended, indent=1, sort_keys=True)


def order(requests: list[Json]) -> list[str]:
    """The methods one after the other; candidates are as many as there happen to be."""
    methods = [request["method"] for request in requests]
    return [
        method
        for number, method in enumerate(methods)
        if not (number and method == methods[number - 1] and method in REPEATED)
    ]
