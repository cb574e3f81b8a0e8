"""`dialogParams`: what every message about a call says about it (telnyx-rtc.md 2.2)."""

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


@dataclass(frozen=True)
class DialogParams:
    """One call's options as the gateway is told them.

    `extra` rides along verbatim (timeoutSecs, retryBucketId, sessionId, ...); its entries with the value None
    and `iceServers` are left out, and it cannot replace what the other fields say.
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


@dataclass
class Dialog:
    """What a line remembers of a live call."""

    call_id: str
    ids: TelnyxIds = field(default_factory=TelnyxIds)
    media_seen: bool = False  # early media came, so the SDP of a later answer is to be ignored

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
    *,
    empty_headers: bool = False,
) -> JsonObject:
    """The `dialogParams` object. Without `params` only the call is named, which every gateway takes for a BYE.

    `empty_headers` writes `custom_headers: []` where there are none, as the SDK does in BYE.
    """
    if params is None:
        return {"callID": dialog.call_id}
    fields: JsonObject = {
        key: value for key, value in params.extra.items() if value is not None and key not in _NEVER_SENT
    }
    fields["audio"] = True
    fields["userVariables"] = dict(params.user_variables)
    if params.client_state is not None:
        fields["clientState"] = params.client_state
    fields |= _ids(dialog.ids)
    fields |= {
        "callID": dialog.call_id,
        "destination_number": params.destination_number,
        "remote_caller_id_name": params.remote_caller_id_name,
        "remote_caller_id_number": params.remote_caller_id_number or params.destination_number,
        "caller_id_name": params.caller_id_name,
        "caller_id_number": params.caller_id_number,
    }
    if params.custom_headers or empty_headers:
        fields["custom_headers"] = [{"name": each.name, "value": each.value} for each in params.custom_headers]
    return fields


def _ids(ids: TelnyxIds) -> JsonObject:
    named = {
        "telnyxCallControlId": ids.call_control_id,
        "telnyxSessionId": ids.session_id,
        "telnyxLegId": ids.leg_id,
    }
    return {key: value for key, value in named.items() if value is not None}
