"""`dialogParams`: what every message about a call says about it (telnyx-rtc.md 2.2).

Equal options give the SDK's keys in the SDK's order; what is left out on purpose stands in `_NEVER_SENT`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.gateway.events import Header, TelnyxIds

if TYPE_CHECKING:
    from agent.gateway.jsonrpc import JsonObject

DEFAULT_REMOTE_NAME = "Outbound Call"  # what the SDK and FreeSWITCH call a far end without a name

# TURN credentials stay in the ICE agent; the SDK sends them in every message (telnyx-rtc.md 0.8).
_NEVER_SENT = frozenset({"iceServers"})

# What the SDK says where nothing was set: about a call it placed, and about one it took or took up again.
_OUTBOUND: Mapping[str, Any] = {
    "useStereo": False,
    "screenShare": False,
    "mediaSettings": {"useSdpASBandwidthKbps": False, "sdpASBandwidthKbps": 0},
    "prefetchIceCandidates": False,
    "video": False,
}
_INBOUND: Mapping[str, Any] = {
    "useStereo": False,
    "debug": False,
    "debugOutput": "socket",
    "screenShare": False,
    "prefetchIceCandidates": False,
    "trickleIce": False,
    "forceRelayCandidate": False,
    "keepConnectionAliveOnSocketClose": False,
}
# The SDK's order. Options that are not listed follow these as the application wrote them.
_ORDER = (
    "audio", "useStereo", "debug", "debugOutput", "attach", "screenShare", "userVariables", "mediaSettings",
    "mutedMicOnStart", "prefetchIceCandidates", "video", "trickleIce", "forceRelayCandidate",
    "keepConnectionAliveOnSocketClose", "telnyxCallControlId", "telnyxSessionId", "telnyxLegId", "telnyxCallId",
    "clientState", "recoveredCallId", "wasHeldBeforeRecovery",
)  # fmt: skip


@dataclass(frozen=True)
class DialogParams:
    """One call's options as the gateway is told them.

    `extra` rides along verbatim (timeoutSecs, retryBucketId, sessionId, ...); its entries with the value None
    and `iceServers` are left out, and it cannot replace what the other fields say. `microphone_label` names the sound
    device in `userVariables`, as browsers do.
    """

    destination_number: str = ""
    caller_id_name: str = ""
    caller_id_number: str = ""
    remote_caller_id_name: str = DEFAULT_REMOTE_NAME
    remote_caller_id_number: str = ""  # empty: the destination
    custom_headers: tuple[Header, ...] = ()
    client_state: str | None = field(default=None, repr=False)
    user_variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    audio: bool | Mapping[str, Any] = True
    microphone_label: str = ""


@dataclass(frozen=True)
class ClientOptions:
    """What a line's own options add to the `dialogParams` of its calls: a call without variables has the line's."""

    user_variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    keep_connection_alive_on_socket_close: bool = False


NO_CLIENT_OPTIONS = ClientOptions()


@dataclass
class Dialog:
    """What a line remembers of a live call."""

    call_id: str
    ids: TelnyxIds = field(default_factory=TelnyxIds)
    inbound: bool = False
    answered: bool = False  # of an incoming call: the gateway has our answer
    may_ring_again: bool = False  # the connection went before it had
    media_seen: bool = False  # early media came, so the SDP of a later answer is to be ignored
    trickle: bool = False  # its candidates are sent one by one
    attached: bool = False  # taken up again after a reconnect
    held: bool = False  # as the gateway last said

    def learn_ids(self, ids: TelnyxIds) -> None:
        """Keep what the gateway calls this call; a later message may add to it, never clear it."""
        self.ids = TelnyxIds(
            ids.session_id or self.ids.session_id,
            ids.leg_id or self.ids.leg_id,
            ids.call_control_id or self.ids.call_control_id,
        )


def dialog_params(
    dialog: Dialog,
    params: DialogParams | None,
    client: ClientOptions = NO_CLIENT_OPTIONS,
    *,
    empty_headers: bool = False,
) -> JsonObject:
    """The `dialogParams` object. Without `params` only the call is named, which every gateway takes for a BYE.

    `empty_headers` writes `custom_headers: []` where there are none, as the SDK does in BYE.
    """
    if params is None:
        return {"callID": dialog.call_id}
    parties = _parties(dialog, params)
    options = _options(dialog, params, client)
    ordered = {key: options[key] for key in _ORDER if key in options}
    fields = ordered | {key: value for key, value in options.items() if key not in ordered and key not in parties}
    fields |= parties
    if params.custom_headers or empty_headers:
        fields["custom_headers"] = [{"name": each.name, "value": each.value} for each in params.custom_headers]
    return fields


def _options(dialog: Dialog, params: DialogParams, client: ClientOptions) -> JsonObject:
    """Everything but the parties, in no order."""
    # The SDK makes a new incoming call of one that it takes up again; ours keeps its options on top of that.
    options = dict(_INBOUND if dialog.inbound or dialog.attached else _OUTBOUND)
    if client.keep_connection_alive_on_socket_close:
        options["keepConnectionAliveOnSocketClose"] = True
    options |= {key: value for key, value in params.extra.items() if value is not None and key not in _NEVER_SENT}
    options |= {
        "audio": dict(params.audio) if isinstance(params.audio, Mapping) else params.audio,
        "attach": dialog.attached,
        "userVariables": _user_variables(params, client),
    }
    if dialog.trickle:
        options["trickleIce"] = True
    if params.client_state is not None:
        options["clientState"] = params.client_state
    if dialog.attached:
        options.setdefault("mutedMicOnStart", False)
        options["recoveredCallId"] = dialog.call_id
        if dialog.held:
            options["wasHeldBeforeRecovery"] = True
    return options | _ids(dialog.ids)


def _user_variables(params: DialogParams, client: ClientOptions) -> JsonObject:
    variables = dict(params.user_variables or client.user_variables)
    if params.microphone_label:
        variables["microphoneLabel"] = params.microphone_label
    return variables


def _parties(dialog: Dialog, params: DialogParams) -> JsonObject:
    return {
        "callID": dialog.call_id,
        "destination_number": params.destination_number,
        "remote_caller_id_name": params.remote_caller_id_name,
        "remote_caller_id_number": params.remote_caller_id_number or params.destination_number,
        "caller_id_name": params.caller_id_name,
        "caller_id_number": params.caller_id_number,
    }


def _ids(ids: TelnyxIds) -> JsonObject:
    named = {
        "telnyxCallControlId": ids.call_control_id,
        "telnyxSessionId": ids.session_id,
        "telnyxLegId": ids.leg_id,
    }
    return {key: value for key, value in named.items() if value is not None}
