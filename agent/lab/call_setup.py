"""Setting up a call: finds who answers, rings, and sends result, ringing, media and answer in the order asked for."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from agent.lab.bridge import BridgePort
from agent.lab.faults import Faults
from agent.lab.habits import Habits
from agent.lab.leg import INCOMPATIBLE_DESTINATION, SUBSCRIBER_ABSENT, UNALLOCATED_NUMBER, Leg, Session
from agent.lab.mid_call import EndCall, MidCall, Reply, add_candidate, answer_offer
from agent.lab.notices import Notices
from agent.lab.registrar import Registrar
from agent.lab.routes import Route, routing_table, style_of, user_part
from agent.lab.sdp_style import freeswitch_style, has_candidates
from agent.lab.wire import Dialect, RequestError, Step

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class CallSetup:
    """From an INVITE to the answer."""

    def __init__(
        self,
        *,
        dialect: Dialect,
        habits: Habits,
        faults: Faults,
        registrar: Registrar,
        notices: Notices,
        mid_call: MidCall,
        spawn: Spawn,
        end: EndCall,
        legs: list[Leg],
    ) -> None:
        self.routes: dict[str, Route] = routing_table(dialect)
        self._dialect = dialect
        self._habits = habits
        self._faults = faults
        self._registrar = registrar
        self._notices = notices
        self._mid_call = mid_call
        self._spawn = spawn
        self._end = end
        self._legs = legs

    async def run(self, leg: Leg, reply: Reply, *, trickles: bool) -> None:
        """Set up the call of this INVITE, or end it."""
        route = self.routes.get(user_part(leg.callee_number))
        hangup = route.hangup if route is not None else None
        callee = self._registrar.session_of(user_part(leg.callee_number)) if route is None else None
        if route is None and callee is None:
            hangup = UNALLOCATED_NUMBER
        elif callee is not None and callee.socket is None:
            hangup = SUBSCRIBER_ABSENT
        elif not trickles and not has_candidates(leg.offer):
            hangup = INCOMPATIBLE_DESTINATION  # FreeSWITCH says CALL CREATED first, too (verto.md)
        order = (route.order if route is not None else None) or self._faults.order or self._dialect.order
        for step in order:
            await asyncio.sleep(self._faults.step_delay_s)
            if step in (Step.MEDIA, Step.ANSWER):
                if hangup is not None or (callee is None and (route is None or route.far_end is None)):
                    continue
                if callee is not None and leg.peer is None:
                    await self._ring_client(leg, callee)
            try:
                await self._take_step(step, leg, route, reply, with_sdp=Step.MEDIA not in order)
            except RequestError:  # the offer is of no use to the far end
                hangup = INCOMPATIBLE_DESTINATION
        if hangup is not None:
            await self._end(leg, hangup)

    async def sdp_for_caller(self, caller: Leg, answer: str) -> str:
        """What the caller gets as its answer once the client it called has answered."""
        if caller.port is None:
            return self._styled(answer)
        return await answer_offer(caller.port, caller.offer)

    async def send_invite(self, leg: Leg) -> None:
        """Ring a client."""
        self._legs.append(leg)
        leg.session.calls[leg.call_id] = leg
        await self._notices.invite(leg)

    async def _take_step(self, step: Step, leg: Leg, route: Route | None, reply: Reply, *, with_sdp: bool) -> None:
        match step:
            case Step.RESULT:
                await reply(self._notices.result(leg, "CALL CREATED"))
            case Step.RINGING:
                await self._notices.ringing(leg)
            case Step.MEDIA:
                await self._notices.media(leg, await self._answer_sdp(leg, route))
            case Step.ANSWER:
                await asyncio.sleep(route.early_s if route is not None else 0.0)
                sdp = await self._answer_sdp(leg, route)
                leg.answered.set()
                await self._notices.answer(leg, sdp if with_sdp and not self._faults.answer_without_sdp else None)
                waiting, leg.waiting_candidates = leg.waiting_candidates, []
                for fields in waiting:
                    await self._notices.candidate(leg, fields)

    async def _answer_sdp(self, leg: Leg, route: Route | None) -> str:
        """The other side's SDP: made by a far end after it rang, or awaited from the other client."""
        if route is not None and route.far_end is not None and leg.far_end is None:
            await asyncio.sleep(0.0 if route.early_s else leg.ring_s)
            leg.far_end = route.far_end()
            await self._hand_over_candidates(leg)
            leg.answer_sdp.set_result(await answer_offer(leg.far_end, leg.offer))
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
            offer="" if self._habits.anchored else self._styled(caller.offer),
            peer=caller,
        )
        caller.peer = leg
        if self._habits.anchored:
            caller.port, leg.port = self._new_port(caller), self._new_port(leg)
            caller.port.join(leg.port)
            await self._hand_over_candidates(caller)
            leg.offer = await leg.port.offer()
        await self.send_invite(leg)
        waiting, caller.waiting_candidates = caller.waiting_candidates, []
        for fields in waiting:
            await self._notices.candidate(leg, fields)

    async def _hand_over_candidates(self, leg: Leg) -> None:
        """What was trickled before there was anybody to take it."""
        waiting, leg.waiting_candidates = leg.waiting_candidates, []
        for fields in waiting:
            if leg.media is not None:
                await add_candidate(leg.media, fields)

    def _new_port(self, leg: Leg) -> BridgePort:
        port = BridgePort(style_of(self._dialect))
        port.on_digit = lambda digit: self._pass_on(leg, digit)
        return port

    def _pass_on(self, leg: Leg, digit: str) -> None:
        self._spawn(self._mid_call.rtp_digit(leg, digit), f"digit {leg.call_id}")

    def _styled(self, sdp: str) -> str:
        return freeswitch_style(sdp) if self._dialect.freeswitch_sdp else sdp
