"""What the gateway says to a client about one of its calls: the fields of results and requests, and trickled SDP."""

from __future__ import annotations

import uuid

from agent.lab.faults import Faults
from agent.lab.habits import Habits
from agent.lab.leg import Hangup, Leg
from agent.lab.sdp_style import without_candidates
from agent.lab.wire import Dialect, Json


class Notices:
    """Writes messages as the dialect has them."""

    def __init__(self, dialect: Dialect, habits: Habits, faults: Faults) -> None:
        self._dialect = dialect
        self._habits = habits
        self._faults = faults

    def ids(self, leg: Leg) -> Json:
        """Telnyx's three names of a call; FreeSWITCH has none."""
        return leg.ids if self._dialect.voice_sdk_id else {}

    def _state(self, leg: Leg) -> Json:
        """The application's state of a call, which Telnyx tells where it begins, goes on or ends."""
        return {"client_state": leg.client_state} if leg.client_state and self._dialect.voice_sdk_id else {}

    def result(self, leg: Leg, message: str) -> Json:
        return {"callID": leg.call_id, "message": message, "sessid": leg.session.sessid}

    async def ringing(self, leg: Leg) -> None:
        more = {"display_direction": "inbound", "dialogParams": {"custom_headers": []}}
        await leg.session.notify("ringing", {"callID": leg.call_id, **leg.parties(), **more, **self.ids(leg)})

    async def media(self, leg: Leg, sdp: str) -> None:
        await self._with_sdp(leg, "media", {"callID": leg.call_id}, sdp)

    async def answer(self, leg: Leg, sdp: str | None) -> None:
        """The other side has answered; without SDP when `media` brought it."""
        headers = {"dialogParams": {"custom_headers": leg.headers if leg.peer else []}}
        params: Json = {"callID": leg.call_id, **self.ids(leg), **headers}
        await self._with_sdp(leg, "answer", params, sdp)

    async def invite(self, leg: Leg) -> None:
        dialog = {"display_direction": "outbound", "dialogParams": {"custom_headers": leg.headers}}
        params = {"callID": leg.call_id, **leg.parties(), **dialog, **self.ids(leg), **self._state(leg)}
        await self._with_sdp(leg, "invite", params, leg.offer)

    async def attach(self, leg: Leg, offer: str) -> None:
        """A fresh offer for a call that goes on after a reconnect (telnyx-rtc.md 5.6 step 4)."""
        params = {"callID": leg.call_id, **leg.parties(), **self.ids(leg), **self._state(leg)}
        await self._with_sdp(leg, "attach", params, offer)

    async def bye(self, leg: Leg, hangup: Hangup) -> None:
        call_id = str(uuid.uuid4()) if self._faults.hide_call_ids else leg.call_id
        params: Json = {"callID": call_id, "cause": hangup.cause, "causeCode": hangup.cause_code}
        if self._dialect.voice_sdk_id:
            sip = {"sipCode": hangup.sip_code, "sipReason": hangup.sip_reason, "sip_call_id": f"lab-{leg.call_id}"}
            params |= {**sip, "dialogParams": {"custom_headers": leg.headers if leg.peer else []}, **self._state(leg)}
        await leg.session.notify("bye", params)

    async def display(self, leg: Leg, name: str, number: str) -> None:
        """The other side is somebody else now, as after a transfer."""
        params = {"callID": leg.call_id, "display_name": name, "display_number": number}
        await leg.session.notify("display", {**params, "display_direction": "inbound", **leg.parties()})

    async def candidate(self, leg: Leg, fields: Json) -> None:
        await leg.session.notify("candidate", {"callID": leg.call_id, **fields})

    def split(self, sdp: str) -> tuple[str, list[Json]]:
        """The SDP to send, and the candidates to send after it: none unless the gateway trickles."""
        if not self._habits.trickles or not self._dialect.trickle:
            return sdp, []
        bare, candidates = without_candidates(sdp)
        return bare, [dict(each) for each in candidates]

    async def candidates(self, leg: Leg, candidates: list[Json]) -> None:
        """Trickle these, then their end; nothing at all for none."""
        for fields in candidates:
            await self.candidate(leg, fields)
        if candidates:
            await leg.session.notify("endOfCandidates", {"callID": leg.call_id, "endOfCandidates": True})

    async def _with_sdp(self, leg: Leg, method: str, params: Json, sdp: str | None) -> None:
        if sdp is None:
            await leg.session.notify(method, params)
            return
        sent, candidates = self.split(sdp)
        early = self._faults.candidates_first and method in ("media", "answer")
        if early:
            await self.candidates(leg, candidates)
        await leg.session.notify(method, {"callID": params["callID"], "sdp": sent, **params})
        if not early:
            await self.candidates(leg, candidates)
