"""The `params` of every request we send, key for key as the SDK sends them (telnyx-rtc.md 1.4, 2.3 to 2.8)."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from agent.gateway.dialect import ANONYMOUS_LOGIN, LOGIN, Dialect

if TYPE_CHECKING:
    from agent.calls.reasons import Cause
    from agent.gateway.jsonrpc import JsonObject
    from agent.gateway.line_settings import AnonymousLogin, LineSettings

VERSION = metadata.version("callpoint")
USER_AGENT = f"Callpoint-{VERSION}"


def login_request(
    settings: LineSettings, dialect: Dialect, sessid: str | None, *, reconnection: bool
) -> tuple[str, JsonObject]:
    """Method and params of the login: anonymous where there are no credentials, else all that are set."""
    if settings.anonymous is not None and not (settings.login or settings.login_token):
        return ANONYMOUS_LOGIN, _anonymous_login(settings.anonymous, sessid, reconnection=reconnection)
    params: JsonObject = {}
    for key, value in (
        ("login", settings.login),
        ("passwd", settings.password),
        ("login_token", settings.login_token),
    ):
        if value is not None:
            params[key] = value
    if dialect.telnyx_login:
        # A device that is always connected has no use for push; the gateway expects to be told so.
        params["userVariables"] = {"push_when_active": False, "pn_late_fanout": False}
        params["reconnection"] = reconnection
        params["loginParams"] = {"early_sdp_answer": False}
        params["User-Agent"] = _user_agent()
    else:
        params["userVariables"] = {}
        params["loginParams"] = {}
    if sessid is not None:
        params["sessid"] = sessid
    return LOGIN, params


def invite_params(sessid: str | None, sdp: str, dialog: JsonObject, user_agent: str) -> JsonObject:
    """INVITE and, with the same shape, our ANSWER and ATTACH (telnyx-rtc.md 2.3, 2.5, 5.6)."""
    return _session(sessid) | {"sdp": sdp, "dialogParams": dialog, "User-Agent": user_agent}


def bye_params(sessid: str | None, cause: Cause, dialog: JsonObject) -> JsonObject:
    """BYE (telnyx-rtc.md 2.6). The two nulls are there on the SDK's wire too."""
    return {
        "sipCode": None,
        "sip_call_id": None,
        **_session(sessid),
        "dialogParams": dialog,
        "cause": cause.name,
        "causeCode": cause.code,
    }


def info_params(sessid: str | None, dtmf: str, dialog: JsonObject) -> JsonObject:
    """INFO with DTMF digits (telnyx-rtc.md 2.8)."""
    return _session(sessid) | {"dtmf": dtmf, "dialogParams": dialog}


def hold_params(sessid: str | None, dialog: JsonObject, *, held: bool) -> JsonObject:
    """MODIFY that puts a call on hold or takes it back (telnyx-rtc.md 2.7)."""
    return _session(sessid) | {"action": "hold" if held else "unhold", "dialogParams": dialog}


def ping_params(sessid: str | None, dialect: Dialect) -> JsonObject:
    """PING: empty at Telnyx, the session at Verto."""
    return _session(sessid) if dialect.names_session_in_ping else {}


def _session(sessid: str | None) -> JsonObject:
    return {} if sessid is None else {"sessid": sessid}


def _anonymous_login(target: AnonymousLogin, sessid: str | None, *, reconnection: bool) -> JsonObject:
    params: JsonObject = {
        "target_type": target.target_type,
        "target_id": target.target_id,
        "reconnection": reconnection,
        "User-Agent": _user_agent(),
    }
    if sessid is not None:
        params["sessid"] = sessid
    if target.target_version_id is not None:
        params["target_version_id"] = target.target_version_id
    if target.target_params is not None:
        params["target_params"] = dict(target.target_params)
    return params


def _user_agent() -> JsonObject:
    return {"sdkVersion": VERSION, "data": USER_AGENT}
