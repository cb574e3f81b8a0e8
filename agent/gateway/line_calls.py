"""What a line does about its calls: every request of a call, sent on the connection that the line has just then."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Protocol

from agent.gateway.dialect import AI_CONVERSATION
from agent.gateway.dialog import dialog_params
from agent.gateway.dialogs import Dialogs, OwedBye
from agent.gateway.errors import GatewayRefused, LineDown
from agent.gateway.events import LineState
from agent.gateway.incoming import sdp_in
from agent.gateway.jsonrpc import METHOD_NOT_FOUND
from agent.gateway.messages import (
    USER_AGENT,
    ai_message_params,
    candidate_params,
    end_of_candidates_params,
    hold_params,
    info_params,
    invite_params,
    message_params,
    transfer_params,
    update_media_params,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from agent.calls.reasons import Cause
    from agent.gateway.connection import Connection
    from agent.gateway.dialect import Dialect
    from agent.gateway.dialog import Dialog, DialogParams
    from agent.gateway.events import TelnyxIds
    from agent.gateway.jsonrpc import JsonObject
    from agent.gateway.line_settings import LineSettings
    from agent.gateway.session import Session

INVITE_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 10.0
INFO_TIMEOUT_S = 10.0
MODIFY_TIMEOUT_S = 10.0  # telnyx-rtc.md 1.6


class Candidate(Protocol):
    """A trickled ICE candidate: its text begins with `candidate:`; `mid` and index name its m= section."""

    @property
    def candidate(self) -> str: ...

    @property
    def mid(self) -> str: ...

    @property
    def mline_index(self) -> int: ...


class LineCalls:
    """The calls of one line. Every method that sends raises `LineDown` when there is no connection to send on."""

    def __init__(self, settings: LineSettings, session: Session, dialect: Dialect) -> None:
        self.name = settings.name
        self.state = LineState.OFFLINE
        self._detail = ""
        self._settings = settings
        self._session = session
        self._dialect = dialect
        self._dialogs = Dialogs()
        self._connection: Connection | None = None

    @property
    def live_calls(self) -> frozenset[str]:
        """The callIDs that this line holds: from `invite` or `IncomingCall` to the BYE of either side."""
        return self._dialogs.live

    def telnyx_ids(self, call_id: str) -> TelnyxIds:
        """What the gateway calls this call; without names for one that is not live."""
        return self._dialogs.get(call_id).ids

    @property
    def supports_trickle(self) -> bool:
        """Whether this gateway takes candidates one by one. If not, every SDP must hold all of them."""
        return self._dialect.trickles

    # ---- descriptions

    async def invite(self, call_id: str, sdp: str, params: DialogParams, *, trickle: bool = False) -> None:
        """Place a call; returns when the gateway has taken the INVITE (telnyx-rtc.md 2.3).

        `trickle`: the SDP holds no candidates, they follow by `candidate`. Ringing, media and answer may be told by
        events before this returns. Raises `LineDown` (at once when the line is not ready), `GatewayTimeout`, both
        after which the call needs a `bye` if the INVITE may have left, or `GatewayRefused`, after which the gateway
        has no such call.
        """
        connection = self._usable_connection()
        if self.state is not LineState.READY:
            raise self._down()
        dialog = self._dialogs.start(call_id)
        request = self._description(dialog, sdp, params, trickle)
        try:
            await connection.request("invite", request, INVITE_TIMEOUT_S, call_id=call_id)
        except GatewayRefused:
            self._dialogs.end(call_id)
            raise

    async def answer(self, call_id: str, sdp: str, params: DialogParams, *, trickle: bool = False) -> None:
        """Answer an incoming call; it is active when this returns (telnyx-rtc.md 2.5).

        Raises `LineDown`, `GatewayTimeout`, `GatewayRefused`.
        """
        connection = self._usable_connection()
        dialog = self._dialogs.get(call_id)
        request = self._description(dialog, sdp, params, trickle)
        await connection.request("answer", request, ANSWER_TIMEOUT_S, call_id=call_id)
        dialog.answered = True

    async def attach(
        self, call_id: str, sdp: str, params: DialogParams, user_agent: str = USER_AGENT, *, trickle: bool = False
    ) -> None:
        """Answer `RemoteAttach`; the call goes on over the new path when this returns (telnyx-rtc.md 5.6 step 6).

        A call that was not known becomes this line's. Raises `LineDown`, `GatewayTimeout`, `GatewayRefused`.
        """
        connection = self._usable_connection()
        dialog = self._dialogs.accept(call_id)
        dialog.attached = dialog.answered = True
        request = self._description(dialog, sdp, params, trickle, user_agent)
        await connection.request("attach", request, ANSWER_TIMEOUT_S, call_id=call_id)

    async def update_media(self, call_id: str, sdp: str, params: DialogParams, *, trickle: bool = False) -> str:
        """Offer a call's media anew (ICE restart, telnyx-rtc.md 2.7); the SDP of the gateway's answer.

        Raises `LineDown`, `GatewayTimeout`, and `GatewayRefused`, also for a result without an SDP.
        """
        connection = self._usable_connection()
        trickle = trickle and self.supports_trickle
        fields = self._fields(self._dialogs.get(call_id), params)
        request = update_media_params(self._session.sessid, call_id, sdp, fields, trickle=trickle)
        answer = sdp_in(await connection.request("modify", request, MODIFY_TIMEOUT_S, call_id=call_id))
        if answer is None:
            raise GatewayRefused(0, "it took the new media offer without an SDP in its answer")
        return answer

    async def candidate(self, call_id: str, candidate: Candidate, params: DialogParams) -> None:
        """Send one candidate of a call whose description has left. Nothing is sent about a call that is over, or to a
        gateway that does not trickle. Does not wait for the result. Raises `LineDown` only."""
        if connection := self._trickling(call_id):
            fields = self._fields(self._dialogs.get(call_id), params)
            request = candidate_params(
                self._session.sessid, candidate.candidate, candidate.mid, candidate.mline_index, fields
            )
            connection.post("candidate", request, call_id=call_id)

    async def end_of_candidates(self, call_id: str, params: DialogParams) -> None:
        """Say that there are no more candidates. Like `candidate` in everything else."""
        if connection := self._trickling(call_id):
            fields = self._fields(self._dialogs.get(call_id), params)
            request = end_of_candidates_params(self._session.sessid, fields)
            connection.post("endOfCandidates", request, call_id=call_id)

    # ---- in the call

    async def info(self, call_id: str, dtmf: str, params: DialogParams) -> None:
        """Send DTMF digits (0-9, A-D, *, #) in a call. Raises `LineDown`, `GatewayTimeout`, `GatewayRefused`."""
        connection = self._usable_connection()
        request = info_params(self._session.sessid, dtmf, self._fields(self._dialogs.get(call_id), params))
        await connection.request("info", request, INFO_TIMEOUT_S, call_id=call_id)

    async def message(self, call_id: str, to: str, text: str, params: DialogParams) -> None:
        """Send a text message in a call. Raises `LineDown`, `GatewayTimeout`, `GatewayRefused`."""
        connection = self._usable_connection()
        fields = self._fields(self._dialogs.get(call_id), params)
        request = message_params(self._session.sessid, self._settings.login, to, text, fields)
        await connection.request("info", request, INFO_TIMEOUT_S, call_id=call_id)

    async def hold(self, call_id: str, held: bool, params: DialogParams) -> bool:
        """Put a call on hold or take it back; whether the gateway holds it now (telnyx-rtc.md 2.7).

        Only the word "active" means that it does not. Raises `LineDown`, `GatewayTimeout`, `GatewayRefused`.
        """
        connection = self._usable_connection()
        dialog = self._dialogs.get(call_id)
        request = hold_params(self._session.sessid, self._fields(dialog, params), held=held)
        result = await connection.request("modify", request, MODIFY_TIMEOUT_S, call_id=call_id)
        dialog.held = result.get("holdState") != "active"
        return dialog.held

    async def transfer(self, call_id: str, destination: str, params: DialogParams) -> None:
        """Hand the far end over to `destination` (verto.md; Telnyx has no such request).

        Raises `LineDown`, `GatewayTimeout`, `GatewayRefused`.
        """
        if not self._dialect.transfers:
            raise GatewayRefused(METHOD_NOT_FOUND, "Telnyx's gateway has no transfer, only FreeSWITCH's (verto) has")
        connection = self._usable_connection()
        fields = self._fields(self._dialogs.get(call_id), params)
        request = transfer_params(self._session.sessid, destination, fields)
        await connection.request("modify", request, MODIFY_TIMEOUT_S, call_id=call_id)

    async def ai_message(self, text: str) -> None:
        """Say something to the line's AI assistant in writing. Does not wait for the result; what the assistant says
        comes as `AiConversation`. Raises `LineDown`, `GatewayRefused` (FreeSWITCH has no assistant)."""
        if not self._dialect.converses:
            raise GatewayRefused(
                METHOD_NOT_FOUND, "FreeSWITCH's gateway (verto) has no AI assistant, only Telnyx's has"
            )
        self._usable_connection().post(AI_CONVERSATION, ai_message_params(text, str(uuid.uuid4())))

    def post_frame(self, frame: Mapping[str, Any]) -> None:
        """Send a frame that is no request: a debug report's (telnyx-rtc.md 2.10), which only Telnyx's gateway knows.
        Does not wait for the result. Raises `LineDown`."""
        if self._dialect.converses:
            self._usable_connection().post_frame(frame)

    async def bye(self, call_id: str, cause: Cause, params: DialogParams | None = None) -> None:
        """End a call. Never raises: a call that is not live needs no BYE, and a BYE that finds no connection or
        no answer is delivered when the line is ready again (telnyx-rtc.md 9.1).
        """
        dialog = self._dialogs.end(call_id)
        if dialog is None:
            return
        bye = OwedBye(dialog, cause, params)
        self._dialogs.owe_bye(bye)
        if self._connection is not None and self._connection.usable:
            await self._connection.send_bye(bye)

    # ---- shared

    def _usable_connection(self) -> Connection:
        if self._connection is None or not self._connection.usable:
            raise self._down()
        return self._connection

    def _trickling(self, call_id: str) -> Connection | None:
        """The connection to send a candidate on; None when none is to be sent."""
        connection = self._usable_connection()
        return connection if self.supports_trickle and call_id in self._dialogs.live else None

    def _down(self) -> LineDown:
        return LineDown(f"line {self.name} is not ready: {self._detail or self.state.value}")

    def _description(
        self, dialog: Dialog, sdp: str, params: DialogParams, trickle: bool, user_agent: str = USER_AGENT
    ) -> JsonObject:
        dialog.trickle = trickle and self.supports_trickle
        fields = self._fields(dialog, params)
        return invite_params(self._session.sessid, sdp, fields, user_agent, trickle=dialog.trickle)

    def _fields(self, dialog: Dialog, params: DialogParams) -> JsonObject:
        return dialog_params(dialog, params, self._settings.client_options)
