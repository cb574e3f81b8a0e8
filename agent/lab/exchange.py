"""The lab gateway's call control: takes INVITEs, makes calls of its own, and ends them. Setting up is `call_setup`.

    client A ─ invite ─▶ Leg A ─┬─▶ FarEnd                      (media: client ◀─▶ far end)
                                ├─▶ Leg B ─ invite ─▶ client B  (media: client ◀─▶ client, SDP passed through)
                                └─▶ the same, anchored          (media: client A ◀─▶ port A ◀─▶ port B ◀─▶ client B)

Between two clients it is a B2BUA: the far leg has a callID of its own (telnyx-rtc.md section 8, points 5 to 9).
"""

from __future__ import annotations

import asyncio
import uuid

from agent.lab.call_setup import CallSetup, Spawn
from agent.lab.far_end import FarEnd
from agent.lab.faults import Faults
from agent.lab.habits import Habits
from agent.lab.leg import ORIGINATOR_CANCEL, SESSION_EXPIRED, SIP_OF_CAUSE, Hangup, Leg, Session
from agent.lab.mid_call import MidCall, Reply, accept_answer, leg_of
from agent.lab.notices import Notices
from agent.lab.registrar import Registrar
from agent.lab.routes import FarEndFactory, Route
from agent.lab.wire import CALL_ERROR, Dialect, Json, RequestError, custom_headers, dialog_params


class Exchange:
    """All calls of one gateway. `legs` keeps the ended ones too, for whoever judges."""

    def __init__(self, dialect: Dialect, habits: Habits, faults: Faults, registrar: Registrar, spawn: Spawn) -> None:
        self.legs: list[Leg] = []
        self.notices = Notices(dialect, habits, faults)
        self.mid_call = MidCall(dialect, faults, self.notices, self.end)
        self.setup = CallSetup(
            dialect=dialect,
            habits=habits,
            faults=faults,
            registrar=registrar,
            notices=self.notices,
            mid_call=self.mid_call,
            spawn=spawn,
            end=self.end,
            legs=self.legs,
        )
        self._dialect = dialect
        self._habits = habits
        self._spawn = spawn

    @property
    def routes(self) -> dict[str, Route]:
        """Who answers which number. All other numbers are looked up among the clients' logins."""
        return self.setup.routes

    def register_far_end(self, number: str, factory: FarEndFactory) -> None:
        """Let far ends made by `factory`, one a call, answer `number`."""
        self.setup.routes[number] = Route(factory)

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
            ring_s=self._habits.ring_s,
        )
        self.legs.append(leg)
        session.calls[call_id] = leg
        trickles = params.get("trickle") is True and self._dialect.trickle
        leg.progress = self._spawn(self.setup.run(leg, reply, trickles=trickles), f"call {call_id}")

    async def answer(self, session: Session, params: Json, reply: Reply) -> None:
        leg, sdp = leg_of(session, params), params.get("sdp")
        if not isinstance(sdp, str) or leg.placed_by_client or leg.answered.is_set():
            raise RequestError(CALL_ERROR, "CALL ERROR")
        if leg.media is not None:
            await accept_answer(leg.media, sdp)
        leg.answered.set()
        await reply(self.notices.result(leg, "CALL ANSWERED"))
        if leg.peer is not None and not leg.peer.answer_sdp.done():
            leg.peer.headers = custom_headers(dialog_params(params))
            leg.peer.answer_sdp.set_result(await self.setup.sdp_for_caller(leg.peer, sdp))

    async def attach(self, session: Session, params: Json, reply: Reply) -> None:
        leg, sdp = leg_of(session, params), params.get("sdp")
        if leg.media is None or not isinstance(sdp, str):
            raise RequestError(CALL_ERROR, "CALL ERROR")
        await accept_answer(leg.media, sdp)
        await reply(self.notices.result(leg, "CALL ATTACHED"))

    async def bye(self, session: Session, params: Json, reply: Reply) -> None:
        leg = leg_of(session, params)
        code = params.get("causeCode")
        code = code if isinstance(code, int) else 16
        sip_code, sip_reason = SIP_OF_CAUSE.get(code, (None, None))
        hangup = Hangup(str(params.get("cause", "NORMAL_CLEARING")), code, sip_code, sip_reason)
        leg.headers = custom_headers(dialog_params(params))
        await reply({**self.notices.result(leg, "CALL ENDED"), "cause": hangup.cause, "causeCode": code})
        await self.end(leg, hangup, by_client=True)

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
        await self.setup.send_invite(leg)
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
            await self.notices.bye(leg, hangup)
        if leg.media is not None:
            await leg.media.close()
        if leg.peer is not None:
            cancelled = by_client and leg.placed_by_client and not leg.answered.is_set()
            leg.peer.headers = leg.headers
            await self.end(leg.peer, ORIGINATOR_CANCEL if cancelled else hangup)

    async def attach_all(self, session: Session) -> None:
        """Offer each answered call whose media we end anew, as after a reconnect (telnyx-rtc.md 5.6 step 4)."""
        for leg in tuple(session.calls.values()):
            if leg.media is not None and leg.answered.is_set():
                await self.notices.attach(leg, await leg.media.offer())

    async def suspend(self, session: Session) -> None:
        """The socket is lost: FreeSWITCH stops media at once and ends what was not answered (verto.md)."""
        for leg in tuple(session.calls.values()):
            if not leg.answered.is_set():
                await self.end(leg, SESSION_EXPIRED)
            elif leg.media is not None:
                await leg.media.drop_peer()

    async def end_all(self, session: Session, *, told: bool) -> None:
        """End all calls of a session; with `told` false without a word to its client."""
        for leg in tuple(session.calls.values()):
            await self.end(leg, SESSION_EXPIRED, by_client=not told)
