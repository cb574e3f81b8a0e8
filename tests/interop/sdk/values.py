"""What the options decide in a message: its values, without those that chance or the machine decide."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

# Ids, descriptions and addresses, who is speaking, and his password.
_BY_CHANCE = frozenset(
    {"sessid", "callID", "sdp", "candidate", "User-Agent", "passwd", "recoveredCallId", "iceServers"}
)
_BY_THE_GATEWAY = frozenset({"telnyxCallControlId", "telnyxSessionId", "telnyxLegId"})
_BY_THE_MACHINE = frozenset({"microphoneLabel"})  # in userVariables
_LEFT_OUT = _BY_CHANCE | _BY_THE_GATEWAY | _BY_THE_MACHINE
# Who calls whom: in the recordings they have other names than in the tests.
_PARTIES = frozenset(
    {"destination_number", "caller_id_name", "caller_id_number", "remote_caller_id_name", "remote_caller_id_number"}
)
OWN_LOGIN = "<own login>"  # in the place of the login's own name


def decided(message: Json, login: str) -> dict[str, Json]:
    """The values of params and of dialogParams, by key, in a message of this login."""
    params = message.get("params") or {}
    return {
        "params": _without_chance({key: value for key, value in params.items() if key != "dialogParams"}, login),
        "dialogParams": _without_chance(params.get("dialogParams") or {}, login),
    }


def options_in(dialog: Json) -> Json:
    """The same of a dialogParams alone, without the parties: what the options say, whoever is speaking."""
    return {key: value for key, value in _without_chance(dialog, "").items() if key not in _PARTIES}


def _without_chance(values: Json, login: str) -> Json:
    return {key: _named(value, login) for key, value in values.items() if key not in _LEFT_OUT}


def _named(value: Any, login: str) -> Any:
    if isinstance(value, dict):
        return _without_chance(value, login)
    return OWN_LOGIN if value == login else value
