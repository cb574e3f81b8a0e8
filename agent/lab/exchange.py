"""The lab gateway's call control: routes INVITEs to far ends, to hang-ups or to another client.

    client A ─ invite ─▶ Leg A ─┬─▶ FarEnd                      (media: client ◀─▶ far end)
                                └─▶ Leg B ─ invite ─▶ client B  (media: client ◀─▶ client, SDP passed through)

Between two clients it is a B2BUA: the far leg has a callID of its own (telnyx-rtc.md section 8, points 5 to 9).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from agent.lab.far_end import FarEnd
from agent.lab.faults import Faults
from agent.lab.leg import (
    INCOMPATIBLE_DESTINATION,
    ORIGINATOR_CANCEL,
    SESSION_EXPIRED,
    SIP_OF_CAUSE,
    SUBSCRIBER_ABSENT,
    UNALLOCATED_NUMBER,
    Hangup,
    Leg,
    Session,
)
from agent.lab.registrar import Registrar
from agent.lab.routes import FarEndFactory, Route, routing_table, user_part
from agent.lab.sdp_style import freeswitch_style, has_candidates
from agent.lab.wire import CALL_ERROR, Dialect, Json, Step, custom_headers, dialog_call_id, dialog_params

Reply = Callable[[Json], Awaitable[None]]
Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class RequestError(Exception):
    """A request the gateway answers with a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Exchange:
    """All calls of one gateway. `legs` keeps the ended ones too, for whoever judges."""

    def __init__(self, dialect: Dialect, faults: Faults, registrar: Registrar, spawn: Spawn) -> None:
        self.routes: dict[str, Route] = routing_table(dialect)
        self.legs: list[Leg] = []
        self.ring_s = 0.0  # how long far ends let it ring
        self._dialect = dialect
        self._faults = faults
        self._registrar = registrar
        self._spawn = spawn

    def register_far_end(self, number: str, factory: FarEndFactory) -> None:
        """Let far ends made by `factory`, one a call, answer `number`."""
        self.routes[number] = Route(factory)

    # -- requests of clients ------------------------------------------------------------------------------

    async def invite(self, session: Session, params: Json, reply: Reply) -> None:
        dialog, sdp = dialog_params(params), params.get("sdp")
        call_id = dialog.get("callID")
        if not isinstance(call_id, str) or not call_id or not isinstance(sdp, str) or call_id in session.calls:
            raise RequestError(CALL_ERROR, "CALL ERROR")
        leg = Leg(
            call_id=call_id,
            session=session,
            placed_by_client=True,
            caller_name=str(dialog.get("caller_id_name", "")),
            caller_number=str(dialog.get("caller_id_number", "")),
            callee_name=str(dialog.get("remote_caller_id_name", "Outbound Call")),
            callee_number=session.fixed_destination or str(dialog.get("destination_number", "")),
            headers=custom_headers(dialog),
            offer=sdp,
            ring_s=self.ring_s,
        )
        self.legs.append(leg)
        session.calls[call_id] = leg
        trickles = params.get("trickle") is True and self._dialect.trickle
        leg.progress = self._spawn(self._set_up(leg, reply, trickles=trickles), f"call {call_id}")

    async def answer(self, session: Session, params: Json, reply: Reply) -> None:
        leg, sdp = self._leg(session, params), params.get("sdp")
        if not isinstance(sdp, str) or leg.placed_by_client or leg.answered.is_set():
            raise RequestError(CALL_ERROR, "CALL ERROR")
        if leg.far_end is not None:
            await _accept_answer(leg.far_end, sdp)
        leg.answered.set()
        await reply(self._result(leg, "CALL ANSWERED"))
        if leg.peer is not None and not leg.peer.answer_sdp.done():
            leg.peer.headers = custom_headers(dialog_params(params))
            leg.peer.answer_sdp.set_result(self._styled(sdp))

    async def attach(self, session: Session, params: Json, reply: Reply) -> None:
        leg, sdp = self._leg(session, params), params.get("sdp")
        if leg.far_end is None or not isinstance(sdp, str):
            raise RequestError(CALL_ERROR, "CALL ERROR")
        await _accept_answer(leg.far_end, sdp)
        await reply(self._result(leg, "CALL ATTACHED"))

    async def bye(self, session: Session, params: Json, reply: Reply) -> None:
        leg = self._leg(session, params)
        code = params.get("causeCode")
        code = code if isinstance(code, int) else 16
        sip_code, sip_reason = SIP_OF_CAUSE.get(code, (None, None))
        hangup = Hangup(str(params.get("cause", "NORMAL_CLEARING")), code, sip_code, sip_reason)
        leg.headers = custom_headers(dialog_params(params))
        await reply({**self._result(leg, "CALL ENDED"), "cause": hangup.cause, "causeCode": code})
        await self.end(leg, hangup, by_client=True)

    async def info(self, session: Session, params: Json, reply: Reply) -> None:
        leg = session.calls.get(dialog_call_id(params))
        await reply({"message": "SENT", "sessid": session.sessid} if leg else {"sessid": session.sessid})
        if leg is None:
            return  # FreeSWITCH answers INFO for an unknown call with a plain result (verto.md)
        dtmf = params.get("dtmf")
        leg.digits += dtmf if isinstance(dtmf, str) else ""
        if leg.peer is not None:
            passed: Json = {key: params[key] for key in ("dtmf", "msg") if key in params}
            await leg.peer.session.notify("info", {"callID": leg.peer.call_id, **passed})

    async def modify(self, session: Session, params: Json, reply: Reply) -> None:
        leg, action = self._leg(session, params), params.get("action")
        result = {"callID": leg.call_id, "action": action, "sessid": session.sessid}
        if action == "updateMedia":
            sdp = params.get("sdp")
            if leg.far_end is None or not isinstance(sdp, str):
                raise RequestError(CALL_ERROR, "CALL ERROR")
            await reply({**result, "holdState": "active", "sdp": await _answer_offer(leg.far_end, sdp)})
            return
        if action not in ("hold", "unhold", "toggleHold"):
            raise RequestError(CALL_ERROR, "CALL ERROR")
        leg.held = {"hold": True, "unhold": False}.get(action, not leg.held)
        await reply({**result, "holdState": "held" if leg.held else "active"})

    async def candidate(self, session: Session, params: Json, reply: Reply) -> None:
        leg = self._leg(session, params)
        await reply({"callID": leg.call_id, "sessid": session.sessid})
        fields = {key: params.get(key) for key in ("candidate", "sdpMid", "sdpMLineIndex")}
        if leg.far_end is not None and leg.answer_sdp.done():
            await _add_candidate(leg.far_end, fields)
        elif leg.peer is None or (leg.peer.placed_by_client and not leg.peer.answered.is_set()):
            (leg.peer or leg).waiting_candidates.append(fields)
        else:
            await leg.peer.session.notify("candidate", {"callID": leg.peer.call_id, **fields})

    async def end_of_candidates(self, session: Session, params: Json, reply: Reply) -> None:
        await reply({"callID": self._leg(session, params).call_id, "sessid": session.sessid})

    # -- what the gateway does of its own -------------------------------------------------------------------

    async def call(
        self,
        session: Session,
        far_end: FarEnd,
        *,
        caller_name: str = "",
        caller_number: str = "",
        headers: list[Json] | None = None,
    ) -> Leg:
        """Call a client from a far end. Await the leg's `answered` and `ended`."""
        leg = Leg(
            call_id=str(uuid.uuid4()),
            session=session,
            placed_by_client=False,
            caller_name=caller_name,
            caller_number=caller_number,
            callee_name="Outbound Call",
            callee_number=session.login,
            headers=headers or [],
            far_end=far_end,
        )
        leg.offer = await far_end.offer()
        await self._send_invite(leg)
        return leg

    async def end(self, leg: Leg, hangup: Hangup, *, by_client: bool = False) -> None:
        """End a call: BYE to the client unless it hung up itself, then to the other side."""
        if leg.ended.is_set():
            return
        leg.hangup, leg.ended_by_client = hangup, by_client
        leg.ended.set()
        leg.session.calls.pop(leg.call_id, None)
        if leg.progress is not None and leg.progress is not asyncio.current_task():
            leg.progress.cancel()
        if not by_client:
            await leg.session.notify("bye", self._bye_params(leg, hangup))
        if leg.far_end is not None:
            await leg.far_end.close()
        if leg.peer is not None:
            cancelled = by_client and leg.placed_by_client and not leg.answered.is_set()
            leg.peer.headers = leg.headers
            await self.end(leg.peer, ORIGINATOR_CANCEL if cancelled else hangup)

    async def attach_all(self, session: Session) -> None:
        """Offer each call of a far end anew, as after a reconnect (telnyx-rtc.md 5.6 step 4)."""
        for leg in tuple(session.calls.values()):
            if leg.far_end is not None and leg.answered.is_set():
                sdp = await leg.far_end.offer()
                await session.notify("attach", {"callID": leg.call_id, "sdp": sdp, **leg.parties(), **self._ids(leg)})

    async def suspend(self, session: Session) -> None:
        """The socket is lost: FreeSWITCH stops media at once and ends what was not answered (verto.md)."""
        for leg in tuple(session.calls.values()):
            if not leg.answered.is_set():
                await self.end(leg, SESSION_EXPIRED)
            elif leg.far_end is not None:
                await leg.far_end.drop_peer()

    async def end_all(self, session: Session, *, told: bool) -> None:
        """End all calls of a session; with `told` false without a word to its client."""
        for leg in tuple(session.calls.values()):
            await self.end(leg, SESSION_EXPIRED, by_client=not told)

    # -- setting up -----------------------------------------------------------------------------------------

    async def _set_up(self, leg: Leg, reply: Reply, *, trickles: bool) -> None:
        route = self.routes.get(user_part(leg.callee_number))
        hangup = route.hangup if route is not None else None
        callee = self._registrar.session_of(user_part(leg.callee_number)) if route is None else None
        if route is None and callee is None:
            hangup = UNALLOCATED_NUMBER
        elif callee is not None and callee.socket is None:
            hangup = SUBSCRIBER_ABSENT
        elif not trickles and not has_candidates(leg.offer):
            hangup = INCOMPATIBLE_DESTINATION  # FreeSWITCH says CALL CREATED first, too (verto.md)
        if hangup is None and callee is not None:
            await self._ring_client(leg, callee)
        order = (route.order if route is not None else None) or self._faults.order or self._dialect.order
        for step in order:
            await asyncio.sleep(self._faults.step_delay_s)
            if step in (Step.MEDIA, Step.ANSWER) and (
                hangup is not None or (callee is None and (route is None or route.far_end is None))
            ):
                continue
            try:
                await self._take_step(step, leg, route, reply, with_sdp=Step.MEDIA not in order)
            except RequestError:  # the offer is of no use to the far end
                hangup = INCOMPATIBLE_DESTINATION
        if hangup is not None:
            await self.end(leg, hangup)

    async def _take_step(self, step: Step, leg: Leg, route: Route | None, reply: Reply, *, with_sdp: bool) -> None:
        params: Json = {"callID": leg.call_id}
        match step:
            case Step.RESULT:
                await reply(self._result(leg, "CALL CREATED"))
            case Step.RINGING:
                ids = {"display_direction": "inbound", "dialogParams": {"custom_headers": []}, **self._ids(leg)}
                await leg.session.notify("ringing", {**params, **leg.parties(), **ids})
            case Step.MEDIA:
                await leg.session.notify("media", {**params, "sdp": await self._answer_sdp(leg, route)})
            case Step.ANSWER:
                await asyncio.sleep(route.early_s if route is not None else 0.0)
                sdp = await self._answer_sdp(leg, route)
                if with_sdp and not self._faults.answer_without_sdp:
                    params["sdp"] = sdp
                headers = {"dialogParams": {"custom_headers": leg.headers if leg.peer else []}}
                leg.answered.set()
                await leg.session.notify("answer", {**params, **self._ids(leg), **headers})
                waiting, leg.waiting_candidates = leg.waiting_candidates, []
                for fields in waiting:
                    await leg.session.notify("candidate", {"callID": leg.call_id, **fields})

    async def _answer_sdp(self, leg: Leg, route: Route | None) -> str:
        """The other side's SDP: made by a far end after it rang, or awaited from the other client."""
        if route is not None and route.far_end is not None and leg.far_end is None:
            await asyncio.sleep(0.0 if route.early_s else leg.ring_s)
            leg.far_end = route.far_end()
            leg.answer_sdp.set_result(await _answer_offer(leg.far_end, leg.offer))
            waiting, leg.waiting_candidates = leg.waiting_candidates, []
            for fields in waiting:
                await _add_candidate(leg.far_end, fields)
        return await leg.answer_sdp

    async def _ring_client(self, caller: Leg, callee: Session) -> None:
        leg = Leg(
            call_id=str(uuid.uuid4()),
            session=callee,
            placed_by_client=False,
            caller_name=caller.caller_name,
            caller_number=caller.caller_number or caller.session.login,
            callee_name=caller.callee_name,
            callee_number=caller.callee_number,
            headers=caller.headers,
            offer=self._styled(caller.offer),
            peer=caller,
        )
        caller.peer = leg
        await self._send_invite(leg)
        waiting, caller.waiting_candidates = caller.waiting_candidates, []
        for fields in waiting:
            await callee.notify("candidate", {"callID": leg.call_id, **fields})

    async def _send_invite(self, leg: Leg) -> None:
        self.legs.append(leg)
        leg.session.calls[leg.call_id] = leg
        dialog = {"display_direction": "outbound", "dialogParams": {"custom_headers": leg.headers}}
        params = {"callID": leg.call_id, "sdp": leg.offer, **leg.parties(), **dialog, **self._ids(leg)}
        await leg.session.notify("invite", params)

    # -- pieces of messages ---------------------------------------------------------------------------------

    def _leg(self, session: Session, params: Json) -> Leg:
        leg = session.calls.get(dialog_call_id(params))
        if leg is None:
            raise RequestError(CALL_ERROR, "CALL DOES NOT EXIST")
        return leg

    def _ids(self, leg: Leg) -> Json:
        return leg.ids if self._dialect.voice_sdk_id else {}

    def _styled(self, sdp: str) -> str:
        return freeswitch_style(sdp) if self._dialect.freeswitch_sdp else sdp

    def _result(self, leg: Leg, message: str) -> Json:
        return {"callID": leg.call_id, "message": message, "sessid": leg.session.sessid}

    def _bye_params(self, leg: Leg, hangup: Hangup) -> Json:
        call_id = str(uuid.uuid4()) if self._faults.hide_call_ids else leg.call_id
        params: Json = {"callID": call_id, "cause": hangup.cause, "causeCode": hangup.cause_code}
        if self._dialect.voice_sdk_id:
            sip = {"sipCode": hangup.sip_code, "sipReason": hangup.sip_reason, "sip_call_id": f"lab-{leg.call_id}"}
            params |= {**sip, "dialogParams": {"custom_headers": leg.headers if leg.peer else []}}
        return params


async def _add_candidate(far_end: FarEnd, fields: Json) -> None:
    try:
        await far_end.add_candidate(str(fields["candidate"]), fields["sdpMid"], fields["sdpMLineIndex"])
    except (ValueError, IndexError):
        return  # a candidate that does not parse is one path less, not a call less


async def _answer_offer(far_end: FarEnd, offer: str) -> str:
    try:
        return await far_end.answer(offer)
    except ValueError as error:
        raise RequestError(CALL_ERROR, f"CALL ERROR: {error}") from error


async def _accept_answer(far_end: FarEnd, answer: str) -> None:
    try:
        await far_end.accept(answer)
    except ValueError as error:
        raise RequestError(CALL_ERROR, f"CALL ERROR: {error}") from error
