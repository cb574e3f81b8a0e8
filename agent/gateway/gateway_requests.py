"""What the gateway asks of us: its requests become events, answers and acknowledgements (telnyx-rtc.md 2.1)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Never

from agent.calls.codes import Code
from agent.gateway import jsonrpc
from agent.gateway.dialect import AI_CONVERSATION, dialect_of
from agent.gateway.errors import ConnectionLost, LossKind
from agent.gateway.events import AiConversation, CallsGone, CallsReattached, RemoteAttach, warning
from agent.gateway.incoming import (
    CALL_METHODS,
    ai_item,
    call_id_of,
    gateway_state_of,
    read_call_event,
    reattached_calls,
)
from agent.gateway.jsonrpc import ProtocolError, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.gateway.dialect import Dialect
    from agent.gateway.dialogs import Dialogs
    from agent.gateway.events import LineEvent
    from agent.gateway.line_settings import LineSettings
    from agent.gateway.link import Link
    from agent.gateway.registrar import Registrar
    from agent.gateway.session import Session

logger = logging.getLogger(__name__)

_UNANSWERED = frozenset({"event"})  # telnyx-rtc.md 2.1: no reply is expected
_UNANSWERED_CALL_METHODS = frozenset({"info", "endOfCandidates"})
_FOREIGN_EVENT = "webrtc.event"


class GatewayRequests:
    """Takes the requests of one connection. `answer_ping` sends our own ping; the other callbacks are the line's."""

    def __init__(
        self,
        link: Link,
        settings: LineSettings,
        session: Session,
        dialect: Dialect,
        dialogs: Dialogs,
        *,
        registrar: Registrar,
        emit: Callable[[LineEvent], None],
        ignore: Callable[[ProtocolError], None],
        answer_ping: Callable[[], None],
    ) -> None:
        self._link = link
        self._settings = settings
        self._session = session
        self._dialect = dialect
        self._dialogs = dialogs
        self._registrar = registrar
        self._emit = emit
        self._ignore = ignore
        self._answer_ping = answer_ping
        self.calls_stay = False  # the next clientReady is the answer to a new login on a connection that never went

    async def take(self, request: Request) -> None:
        """Do what the request asks for. Raises `ProtocolError`, `LineDown`, and `ConnectionLost` for a punt."""
        method = self._dialect.bare(request.method)
        match method:
            case "clientReady":
                self._take_client_ready(request)
            case "gatewayState":
                state = gateway_state_of(request.params)
                if state is None:
                    raise ProtocolError("bad_state", "gatewayState: params.state must be a string")
                self._registrar.gateway_state(state)
            case "ping":
                if self._dialect.pings_back:
                    self._answer_ping()
                else:
                    await self._ack(request)
            case "punt":
                self._take_punt(request)
            case _ if method in CALL_METHODS:
                await self._take_call_request(request, method)
            case _ if method in _UNANSWERED or request.method == _FOREIGN_EVENT:
                pass
            case _ if request.method == AI_CONVERSATION and self._dialect.converses:
                self._emit(AiConversation(self._settings.name, ai_item(request.params)))
            case _:
                await self._refuse_unknown(request)

    def _take_client_ready(self, request: Request) -> None:
        kept = reattached_calls(request.params)
        if kept is None:
            self._ignore(ProtocolError("bad_reattached", "clientReady: reattached_sessions must be a list"))
        else:
            if reattached := self._dialogs.live_among(kept):
                self._emit(CallsReattached(self._settings.name, reattached))
            if not self.calls_stay and (gone := self._dialogs.end_all_but(kept)):
                self._emit(CallsGone(self._settings.name, gone))
        self.calls_stay = False
        self._registrar.client_ready()

    def _take_punt(self, request: Request) -> Never:
        named = request.params.get("callID")
        keeps = self._settings.keep_connection_alive_on_socket_close
        if keeps and isinstance(named, str) and named in self._dialogs.live:
            raise ConnectionLost("the gateway asked this device to connect again (punt)")
        if gone := self._dialogs.end_all_but(frozenset()):
            self._emit(CallsGone(self._settings.name, gone))
        self._session.forget()  # whoever took our place has it: the next login is another session
        raise ConnectionLost(
            "the gateway sent this device away (punt): is the same login in use elsewhere?",
            LossKind.PUNTED,
            warning=Code.RECONNECTION_FAILED_WITH_NO_AUTO_RECONNECT,
        )

    async def _take_call_request(self, request: Request, method: str) -> None:
        name = self._settings.name
        try:
            event = self._dialogs.take_in(read_call_event(name, method, request.params))
        except ProtocolError as problem:
            await self._refuse(request, jsonrpc.INVALID_PARAMS, str(problem))
            raise
        if isinstance(event, RemoteAttach) and not event.known:
            text = "the gateway offers a call again that this device does not know"
            self._emit(warning(name, Code.UNKNOWN_REATTACHED_SESSION, text, event.call_id))
        if event is not None:
            self._emit(event)
        elif method == "attach":
            call_id = call_id_of(method, request.params)
            logger.info("line %s: attach for call %s, which is over here: ignored", name, call_id)
        if method not in _UNANSWERED_CALL_METHODS:
            await self._ack(request)

    async def _refuse_unknown(self, request: Request) -> None:
        await self._refuse(request, jsonrpc.METHOD_NOT_FOUND, "this device does not know this method")
        method = jsonrpc.clean_text(request.method, jsonrpc.MAX_METHOD_CHARS)
        theirs = dialect_of(request.method)
        if theirs is not None and theirs is not self._dialect:
            raise ProtocolError(
                "other_dialect", f'a {method} request: this gateway wants dialect = "{theirs.name}" for the line'
            )
        if self._dialect.bare(request.method) == "modify":
            call_id = call_id_of(method, request.params)
            logger.warning("line %s: %s for call %s refused", self._settings.name, method, call_id)
            return
        raise ProtocolError("unknown_method", f"a request with the unknown method {method!r}")

    async def _ack(self, request: Request) -> None:
        if request.id is not None:
            await self._link.send(jsonrpc.ack(request.id, request.method))

    async def _refuse(self, request: Request, code: int, message: str) -> None:
        if request.id is not None:
            await self._link.send(jsonrpc.error(request.id, code, message))
