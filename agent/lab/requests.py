"""One request of a client: which part of the gateway answers it (telnyx-rtc.md 2.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent.lab.exchange import Exchange
from agent.lab.faults import Faults
from agent.lab.leg import Session
from agent.lab.mid_call import Reply
from agent.lab.wire import UNKNOWN_METHOD, Dialect, Json, RequestError

Handler = Callable[[Session, Json, Reply], Awaitable[None]]
Sessions = Callable[[], list[Session]]

DATA_CENTRE = {"dc": "lab", "region": "local"}


class Requests:
    """Everything a logged-in client can ask for. `sessions()` gives all that are connected."""

    def __init__(self, dialect: Dialect, faults: Faults, exchange: Exchange, sessions: Sessions) -> None:
        self._faults = faults
        self._sessions = sessions
        self._handlers: dict[str, Handler] = {
            "ping": self._ping,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "broadcast": self._broadcast,
            "invite": exchange.invite,
            "answer": exchange.answer,
            "attach": exchange.attach,
            "bye": exchange.bye,
            "info": exchange.mid_call.info,
            "modify": exchange.mid_call.modify,
        }
        if dialect.gateway_state:
            self._handlers |= {"gatewayState": self._report_state, "ai_conversation": self._converse}
        if dialect.trickle:
            self._handlers["candidate"] = exchange.mid_call.candidate
            self._handlers["endOfCandidates"] = exchange.mid_call.end_of_candidates

    async def handle(self, name: str, session: Session, params: Json, reply: Reply) -> None:
        """Do what is asked, and reply. Raises `RequestError`."""
        handler = self._handlers.get(name)
        if handler is None:
            raise RequestError(UNKNOWN_METHOD, "Invalid Method, Missing Method or Permission Denied")
        await handler(session, params, reply)

    async def _ping(self, session: Session, _params: Json, reply: Reply) -> None:
        await reply({"message": "PONG", "sessid": session.sessid})

    async def _report_state(self, session: Session, _params: Json, reply: Reply) -> None:
        state = self._faults.gateway_states.pop(0) if self._faults.gateway_states else "REGED"
        session.registered = state in ("REGED", "REGISTER")
        params = {"state": state, "call_report_id": f"lab-{session.sessid}", **DATA_CENTRE}
        await reply({"params": params, "sessid": session.sessid})

    async def _converse(self, session: Session, _params: Json, reply: Reply) -> None:
        """A text for the AI assistant: taken, and kept in the gateway's frames."""
        await reply({"sessid": session.sessid})

    async def _subscribe(self, session: Session, params: Json, reply: Reply) -> None:
        wanted = _channels(params)
        known = [channel for channel in wanted if channel in session.channels]
        fresh = [channel for channel in wanted if channel not in session.channels]
        session.channels.update(fresh)
        lists = {"subscribedChannels": fresh, "alreadySubscribedChannels": known, "unauthorizedChannels": []}
        await reply({**lists, "sessid": session.sessid})

    async def _unsubscribe(self, session: Session, params: Json, reply: Reply) -> None:
        wanted = _channels(params)
        known = [channel for channel in wanted if channel in session.channels]
        unknown = [channel for channel in wanted if channel not in session.channels]
        session.channels.difference_update(known)
        lists = {"unsubscribedChannels": known, "notSubscribedChannels": unknown}
        await reply({**lists, "sessid": session.sessid})

    async def _broadcast(self, session: Session, params: Json, reply: Reply) -> None:
        await reply({"sessid": session.sessid})
        channel = params.get("eventChannel")
        for other in self._sessions():
            if other is not session and channel in other.channels:
                await other.notify("event", {"eventChannel": channel, "data": params.get("data")})


def _channels(params: Json) -> list[str]:
    """The channels a request names: a list of names, or a single one."""
    named = params.get("eventChannel")
    if isinstance(named, str):
        return [named]
    return [str(channel) for channel in named] if isinstance(named, list) else []
