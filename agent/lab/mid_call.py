"""A client's requests in a call that is there already: digits, texts, hold, a new path, transfer, candidates."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent.lab.faults import Faults
from agent.lab.leg import NORMAL_CLEARING, Hangup, Leg, Session
from agent.lab.media_end import MediaEnd
from agent.lab.notices import Notices
from agent.lab.wire import CALL_ERROR, Dialect, Json, RequestError, dialog_call_id

Reply = Callable[[Json], Awaitable[None]]
EndCall = Callable[[Leg, Hangup], Awaitable[None]]

HOLD_ACTIONS = ("hold", "unhold", "toggleHold")


class MidCall:
    """The requests of the table in telnyx-rtc.md 2.1 that leave a call in place."""

    def __init__(self, dialect: Dialect, faults: Faults, notices: Notices, end: EndCall) -> None:
        self._dialect = dialect
        self._faults = faults
        self._notices = notices
        self._end = end

    async def info(self, session: Session, params: Json, reply: Reply) -> None:
        leg = session.calls.get(dialog_call_id(params))
        await reply({"message": "SENT", "sessid": session.sessid} if leg else {"sessid": session.sessid})
        if leg is None:
            return  # FreeSWITCH answers INFO for an unknown call with a plain result (verto.md)
        dtmf, message = params.get("dtmf"), params.get("msg")
        leg.digits += dtmf if isinstance(dtmf, str) else ""
        if isinstance(message, dict):
            leg.messages.append(message)
        if leg.peer is not None:
            passed: Json = {key: params[key] for key in ("dtmf", "msg") if key in params}
            await leg.peer.session.notify("info", {"callID": leg.peer.call_id, **passed})

    async def rtp_digit(self, leg: Leg, digit: str) -> None:
        """A digit came as RTP events on an anchored leg: it goes on as it came if the other side takes that."""
        peer = leg.peer
        if peer is None:
            return
        if peer.port is not None and peer.port.takes_digits:
            await peer.port.send_digits(digit)
        else:
            await peer.session.notify("info", {"callID": peer.call_id, "dtmf": digit})

    async def modify(self, session: Session, params: Json, reply: Reply) -> None:
        leg, action = leg_of(session, params), params.get("action")
        result = {"callID": leg.call_id, "action": action, "sessid": session.sessid}
        if action == "updateMedia":
            await self._update_media(leg, params, result, reply)
        elif action in HOLD_ACTIONS:
            leg.held = {"hold": True, "unhold": False}.get(str(action), not leg.held)
            if leg.port is not None:
                leg.port.held = leg.held
            await reply({**result, "holdState": "held" if leg.held else "active"})
        elif action == "transfer" and not self._dialect.gateway_state:
            await self._transfer(leg, params, result, reply)
        elif action == "replace" and not self._dialect.gateway_state:
            await self._replace(leg, params, result, reply)
        else:
            raise RequestError(CALL_ERROR, "CALL ERROR")

    async def candidate(self, session: Session, params: Json, reply: Reply) -> None:
        leg = leg_of(session, params)
        await reply(self._notices.result(leg, "OK"))
        fields = {key: params.get(key) for key in ("candidate", "sdpMid", "sdpMLineIndex")}
        if leg.media is not None:
            await add_candidate(leg.media, fields)
        elif leg.peer is None or (leg.peer.placed_by_client and not leg.peer.answered.is_set()):
            (leg.peer or leg).waiting_candidates.append(fields)
        else:
            await self._notices.candidate(leg.peer, fields)

    async def end_of_candidates(self, session: Session, params: Json, reply: Reply) -> None:
        await reply(self._notices.result(leg_of(session, params), "OK"))

    async def _update_media(self, leg: Leg, params: Json, result: Json, reply: Reply) -> None:
        sdp = params.get("sdp")
        if leg.media is None or not isinstance(sdp, str):
            raise RequestError(CALL_ERROR, "CALL ERROR")
        answer, candidates = self._notices.split(await answer_offer(leg.media, sdp))
        result = {**result, "holdState": "held" if leg.held else "active"}
        await reply(result if self._faults.update_without_sdp else {**result, "sdp": answer})
        await self._notices.candidates(leg, candidates)

    async def _transfer(self, leg: Leg, params: Json, result: Json, reply: Reply) -> None:
        destination = params.get("destination")
        if not isinstance(destination, str) or not destination or not leg.answered.is_set():
            raise RequestError(CALL_ERROR, "CALL ERROR")
        leg.transferred_to = destination
        await reply({**result, "message": "CALL TRANSFERRED"})
        await self._end(leg, NORMAL_CLEARING)

    async def _replace(self, leg: Leg, params: Json, result: Json, reply: Reply) -> None:
        """Two calls of one client are joined behind its back: both legs here end."""
        replaced = leg.session.calls.get(str(params.get("replaceCallID")))
        if replaced is None or replaced is leg:
            raise RequestError(CALL_ERROR, "CALL DOES NOT EXIST")
        await reply(result)
        await self._end(leg, NORMAL_CLEARING)
        await self._end(replaced, NORMAL_CLEARING)


def leg_of(session: Session, params: Json) -> Leg:
    """The call that a request is about. Raises `RequestError`."""
    leg = session.calls.get(dialog_call_id(params))
    if leg is None:
        raise RequestError(CALL_ERROR, "CALL DOES NOT EXIST")
    return leg


async def add_candidate(media: MediaEnd, fields: Json) -> None:
    """Give a trickled candidate to a media end; one that does not parse is one path less, not a call less."""
    try:
        await media.add_candidate(str(fields["candidate"]), fields["sdpMid"], fields["sdpMLineIndex"])
    except (ValueError, IndexError):
        return


async def answer_offer(media: MediaEnd, offer: str) -> str:
    """The answer of a media end. Raises `RequestError` for an offer it cannot use."""
    try:
        return await media.answer(offer)
    except ValueError as error:
        raise RequestError(CALL_ERROR, f"CALL ERROR: {error}") from error


async def accept_answer(media: MediaEnd, answer: str) -> None:
    """Give an answer to a media end. Raises `RequestError` for one it cannot use."""
    try:
        await media.accept(answer)
    except ValueError as error:
        raise RequestError(CALL_ERROR, f"CALL ERROR: {error}") from error
