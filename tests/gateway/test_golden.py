"""Our frames beside the real SDK's for the same options: the same keys, in the same order, with the same values.

`frames/sdk_calls.json` holds frames that @telnyx/webrtc 2.27.10 sent, with short SDPs, made-up credentials and no real
addresses. Where ours differ, `INTENDED_DIFFERENCES` says how and why; nothing else may.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.calls.reasons import Cause
from agent.gateway import jsonrpc
from agent.gateway.dialect import TELNYX, VERTO
from agent.gateway.dialog import ClientOptions, Dialog, DialogParams, dialog_params
from agent.gateway.events import Header, TelnyxIds
from agent.gateway.line_settings import AnonymousLogin, LineSettings
from agent.gateway.messages import (
    USER_AGENT,
    bye_params,
    candidate_params,
    end_of_candidates_params,
    hold_params,
    info_params,
    invite_params,
    login_request,
    message_params,
    transfer_params,
    update_media_params,
)

Frames = Callable[[str], dict[str, Any]]

INTENDED_DIFFERENCES = {
    "dialogParams.iceServers": "never sent: they hold TURN passwords, and the gateway has no use for them",
    "User-Agent": "ours names Callpoint, not a browser; type and place are the SDK's",
}

# Of DialogParams' own fields: the rest of a golden dialogParams rides along in `extra`.
_NAMED = {
    "audio", "userVariables", "clientState", "callID", "destination_number", "remote_caller_id_name", "video",
    "remote_caller_id_number", "caller_id_name", "caller_id_number", "custom_headers", "telnyxCallControlId",
    "telnyxSessionId", "telnyxLegId", "attach", "recoveredCallId", "wasHeldBeforeRecovery", "screenShare", "iceServers",
}  # fmt: skip
_SDK_DEFAULTS = {
    "useStereo": False,
    "mediaSettings": {"useSdpASBandwidthKbps": False, "sdpASBandwidthKbps": 0},
    "prefetchIceCandidates": False,
    "debug": False,
    "debugOutput": "socket",
    "mutedMicOnStart": False,
    "forceRelayCandidate": False,
    "keepConnectionAliveOnSocketClose": False,
}


def parts_of(wanted: dict[str, Any]) -> tuple[Dialog, DialogParams]:
    """The call and the options that a golden dialogParams was made of; its defaults must come by themselves."""
    variables = dict(wanted["userVariables"])
    label = variables.pop("microphoneLabel", "")
    dialog = Dialog(
        wanted["callID"],
        TelnyxIds(*(wanted.get(f"telnyx{each}") for each in ("SessionId", "LegId", "CallControlId"))),
        inbound="mediaSettings" not in wanted,  # as the SDK has it
        trickle=wanted.get("trickleIce") is True,
        attached=wanted["attach"],
        held=wanted.get("wasHeldBeforeRecovery") is True,
    )
    extra = {
        key: value
        for key, value in wanted.items()
        if key not in _NAMED and (key not in _SDK_DEFAULTS or value != _SDK_DEFAULTS[key] or "telnyxCallId" in wanted)
    }
    if not dialog.inbound and wanted.get("trickleIce") is False:
        extra["trickleIce"] = False
    elif wanted.get("trickleIce") is not None:
        extra.pop("trickleIce")
    return dialog, DialogParams(
        destination_number=wanted["destination_number"],
        caller_id_name=wanted["caller_id_name"],
        caller_id_number=wanted["caller_id_number"],
        remote_caller_id_name=wanted["remote_caller_id_name"],
        remote_caller_id_number=wanted["remote_caller_id_number"],
        custom_headers=tuple(Header(each["name"], each["value"]) for each in wanted.get("custom_headers", ())),
        client_state=wanted.get("clientState"),
        user_variables=variables,
        microphone_label=label,
        extra=extra,
        audio=wanted["audio"],
    )


def fields_of(wanted: dict[str, Any], **options: Any) -> dict[str, Any]:
    return dialog_params(*parts_of(wanted), **options)


def check(ours: dict[str, Any], golden: dict[str, Any]) -> None:
    """Equal in keys, order, types and values, but for the intended differences."""
    if "dialogParams" in golden:
        del golden["dialogParams"]["iceServers"]
        assert list(ours["dialogParams"]) == list(golden["dialogParams"])
    assert list(ours) == list(golden)
    if "User-Agent" in golden:
        assert type(ours["User-Agent"]) is type(golden["User-Agent"])
        if isinstance(golden["User-Agent"], dict):
            assert list(ours["User-Agent"]) == list(golden["User-Agent"])
        golden["User-Agent"] = ours["User-Agent"]
    assert ours == golden
    assert jsonrpc.encode(ours) == jsonrpc.encode(golden)


def line(**fields: Any) -> LineSettings:
    return LineSettings(**({"name": "desk", "url": "wss://rtc.telnyx.com"} | fields))


def test_every_difference_has_its_reason() -> None:
    assert all(len(reason) > 20 for reason in INTENDED_DIFFERENCES.values())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("login", {"login": "alice", "password": "a-password"}),
        ("login_reconnect", {"login": "bob", "password": "a-password"}),
        (
            "login_every_option",
            {
                "login_token": "a-token-of-mine",
                "user_variables": {"foo": 1},
                "push_when_active": True,
                "early_sdp_answer": True,
            },
        ),
        (
            "anonymous_login",
            {"anonymous": AnonymousLogin("assistant-1", "ai_assistant", "v1", {"conversation_id": "c1"})},
        ),
    ],
)
def test_logins(frames: Frames, name: str, settings: dict[str, Any]) -> None:
    golden = frames("sdk_calls")[name]
    params = golden["params"]
    params["login"] = settings.get("login") if "login" in params else None
    if params["login"] is None:
        del params["login"]
    method, ours = login_request(line(**settings), TELNYX, params.get("sessid"), reconnection=params["reconnection"])
    assert method == golden["method"]
    check(ours, params)


def test_an_anonymous_login_places_its_variables_as_the_sdk_does() -> None:
    """Seen in the SDK's source (AnonymousLogin), not in a trace."""
    settings = line(anonymous=AnonymousLogin("a1"), user_variables={"door": "front"})
    _, params = login_request(settings, TELNYX, "s1", reconnection=True)
    assert list(params) == ["target_type", "target_id", "userVariables", "reconnection", "User-Agent", "sessid"]


@pytest.mark.parametrize(
    "name",
    [
        "invite",
        "invite_every_option",
        "invite_every_option_trickle",
        "invite_receive_only",
        "answer",
        "answer_trickle",
        "attach_held",
        "attach_trickle",
    ],
)
def test_descriptions(frames: Frames, name: str) -> None:
    golden = frames("sdk_calls")[name]["params"]
    fields = fields_of(golden["dialogParams"])
    ours = invite_params(golden["sessid"], golden["sdp"], fields, USER_AGENT, trickle="trickle" in golden)
    check(ours, golden)


def test_an_invite_of_a_line_that_keeps_its_calls(frames: Frames) -> None:
    golden = frames("sdk_calls")["invite_keep_alive"]["params"]
    wanted = golden["dialogParams"]
    dialog, params = parts_of({k: v for k, v in wanted.items() if k != "keepConnectionAliveOnSocketClose"})
    client = ClientOptions(keep_connection_alive_on_socket_close=True)
    check(invite_params(golden["sessid"], golden["sdp"], dialog_params(dialog, params, client), USER_AGENT), golden)


def test_a_call_without_variables_has_the_lines() -> None:
    client = ClientOptions(user_variables={"door": "front"})
    assert dialog_params(Dialog("c"), DialogParams(), client)["userVariables"] == {"door": "front"}
    own = DialogParams(user_variables={"a": 1})
    assert dialog_params(Dialog("c"), own, client)["userVariables"] == {"a": 1}


def test_candidates(frames: Frames) -> None:
    golden = frames("sdk_calls")["candidate"]["params"]
    fields = fields_of(golden["dialogParams"])
    check(
        candidate_params(golden["sessid"], golden["candidate"], golden["sdpMid"], golden["sdpMLineIndex"], fields),
        golden,
    )
    end = frames("sdk_calls")["end_of_candidates"]["params"]
    check(end_of_candidates_params(end["sessid"], fields_of(end["dialogParams"])), end)


@pytest.mark.parametrize("name", ["hold", "unhold"])
def test_hold(frames: Frames, name: str) -> None:
    golden = frames("sdk_calls")[name]["params"]
    check(hold_params(golden["sessid"], fields_of(golden["dialogParams"]), held=name == "hold"), golden)


@pytest.mark.parametrize("name", ["update_media", "update_media_trickle"])
def test_new_media_offers(frames: Frames, name: str) -> None:
    golden = frames("sdk_calls")[name]["params"]
    fields = fields_of(golden["dialogParams"])
    ours = update_media_params(golden["sessid"], golden["callID"], golden["sdp"], fields, trickle="trickle" in golden)
    check(ours, golden)


def test_digits_messages_and_byes(frames: Frames) -> None:
    golden = {name: frame["params"] for name, frame in frames("sdk_calls").items()}
    info, message, bye = golden["info_dtmf"], golden["info_message"], golden["bye"]
    check(info_params(info["sessid"], info["dtmf"], fields_of(info["dialogParams"])), info)
    check(message_params(message["sessid"], "alice", "bob", "hi", fields_of(message["dialogParams"])), message)
    fields = fields_of(bye["dialogParams"], empty_headers=True)
    check(bye_params(bye["sessid"], Cause("NORMAL_CLEARING", 16), fields), bye)


def test_freeswitch_is_asked_as_a_verto_client_asks(frames: Frames) -> None:
    """FreeSWITCH reads keys, not their order; what it reads is there, and its requests have no other keys."""
    golden = {name: frame["params"] for name, frame in frames("verto_calls").items()}
    message = golden["info_message"]["msg"]
    requests = {
        "hold": hold_params("s", {}, held=True),
        "transfer": transfer_params("s", golden["transfer"]["destination"], {}),
        "info_message": message_params("s", message["from"], message["to"], message["body"], {}),
        "update_media": update_media_params("s", "c", "v=0\r\n", {}),
    }
    for name, ours in requests.items():
        wanted = golden[name] | {"sessid": "s", "dialogParams": {}}
        assert {key: value for key, value in ours.items() if key != "callID"} == wanted, name
    wanted = golden["hold"]["dialogParams"]
    ours = fields_of({"userVariables": {}, "attach": False, "mediaSettings": {}, "audio": True} | wanted)
    for key in ("callID", "destination_number", "caller_id_name", "caller_id_number", "remote_caller_id_name"):
        assert ours[key] == wanted[key]
    assert VERTO.wire("modify") == "verto.modify"
