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
        return ANONYMOUS_LOGIN, _anonymous_login(settings, settings.anonymous, sessid, reconnection=reconnection)
    params: JsonObject = {}
    for key, value in (
        ("login", settings.login),
        ("passwd", settings.password),
        ("login_token", settings.login_token),
    ):
        if value is not None:
            params[key] = value
    if dialect.telnyx_login:
        params["userVariables"] = _login_variables(settings)
        params["reconnection"] = reconnection
        params["loginParams"] = {"early_sdp_answer": settings.early_sdp_answer}
        params["User-Agent"] = _user_agent()
    else:
        params["userVariables"] = dict(settings.user_variables)
        params["loginParams"] = {}
    if sessid is not None:
        params["sessid"] = sessid
    return LOGIN, params


def invite_params(
    sessid: str | None, sdp: str, dialog: JsonObject, user_agent: str, *, trickle: bool = False
) -> JsonObject:
    """INVITE and, with the same shape, our ANSWER and ATTACH (telnyx-rtc.md 2.3, 2.5, 5.6)."""
    return (
        _session(sessid)
        | {"sdp": sdp, "dialogParams": dialog}
        | ({"trickle": True} if trickle else {})
        | {"User-Agent": user_agent}
    )


def candidate_params(sessid: str | None, candidate: str, mid: str, mline_index: int, dialog: JsonObject) -> JsonObject:
    """CANDIDATE: one trickled ICE candidate (telnyx-rtc.md 2.9)."""
    return _session(sessid) | {
        "candidate": candidate,
        "sdpMLineIndex": mline_index,
        "sdpMid": mid,
        "dialogParams": dialog,
    }


def end_of_candidates_params(sessid: str | None, dialog: JsonObject) -> JsonObject:
    """END-OF-CANDIDATES (telnyx-rtc.md 2.9)."""
    return _session(sessid) | {"endOfCandidates": True, "dialogParams": dialog}


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


def message_params(sessid: str | None, sender: str | None, to: str, text: str, dialog: JsonObject) -> JsonObject:
    """INFO with a text message (telnyx-rtc.md 2.8). Who logs in with a token has no name to send it from."""
    addressed = ({} if sender is None else {"from": sender}) | {"to": to, "body": text}
    return _session(sessid) | {"msg": addressed, "dialogParams": dialog}


def hold_params(sessid: str | None, dialog: JsonObject, *, held: bool) -> JsonObject:
    """MODIFY that puts a call on hold or takes it back (telnyx-rtc.md 2.7)."""
    return _session(sessid) | {"action": "hold" if held else "unhold", "dialogParams": dialog}


def update_media_params(
    sessid: str | None, call_id: str, sdp: str, dialog: JsonObject, *, trickle: bool = False
) -> JsonObject:
    """MODIFY that offers a call's media anew, which is an ICE restart (telnyx-rtc.md 2.7)."""
    return (
        _session(sessid)
        | {"action": "updateMedia", "callID": call_id, "sdp": sdp}
        | ({"trickle": True} if trickle else {})
        | {"dialogParams": dialog}
    )


def transfer_params(sessid: str | None, destination: str, dialog: JsonObject) -> JsonObject:
    """MODIFY that hands the far end over to `destination`: FreeSWITCH only (verto.md)."""
    return _session(sessid) | {"action": "transfer", "destination": destination, "dialogParams": dialog}


def ai_message_params(text: str, item_id: str) -> JsonObject:
    """`ai_conversation`: what the user says to the assistant in writing, as the SDK's sendConversationMessage."""
    content = [{"type": "input_text", "text": text}]
    item = {"id": item_id, "type": "message", "role": "user", "content": content}
    return {"type": "conversation.item.create", "previous_item_id": None, "item": item}


def ping_params(sessid: str | None, dialect: Dialect) -> JsonObject:
    """PING: empty at Telnyx, the session at Verto."""
    return _session(sessid) if dialect.names_session_in_ping else {}


def _session(sessid: str | None) -> JsonObject:
    return {} if sessid is None else {"sessid": sessid}


def _login_variables(settings: LineSettings) -> JsonObject:
    variables = dict(settings.user_variables)
    push = settings.push_when_active
    if push is None:
        push = variables.get("push_when_active") is True
    # A device that is always connected has no use for push; the gateway expects to be told so.
    return variables | {"push_when_active": push, "pn_late_fanout": push}


def _anonymous_login(
    settings: LineSettings, target: AnonymousLogin, sessid: str | None, *, reconnection: bool
) -> JsonObject:
    params: JsonObject = {"target_type": target.target_type, "target_id": target.target_id}
    if settings.user_variables:
        params["userVariables"] = dict(settings.user_variables)
    params["reconnection"] = reconnection
    params["User-Agent"] = _user_agent()
    if sessid is not None:
        params["sessid"] = sessid
    if target.target_version_id is not None:
        params["target_version_id"] = target.target_version_id
    if target.target_params is not None:
        params["target_params"] = dict(target.target_params)
    return params


def _user_agent() -> JsonObject:
    return {"sdkVersion": VERSION, "data": USER_AGENT}
