"""Plays the client side of a recorded scenario of the JS SDK to a lab gateway, and compares what comes back.

A recording (golden/*.json) holds no values but names: sockets, methods, keys of params and dialogParams, calls by
alias. Session ids, tokens and SDPs are put in here. Frames are compared socket by socket, in their order.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect

from agent.lab.far_end import FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from agent.lab.leg import USER_BUSY
from agent.lab.routes import Route
from agent.lab.wire import TELNYX, Step
from tests.lab.raw_client import GUARD_S, without_candidates

Json = dict[str, Any]

PASSWORD, TOKEN, ASSISTANT = "pw", "token", "assistant"
STATES_THAT_LAST = 1000
CALL_STEPS = {"ringing": Step.RINGING, "media": Step.MEDIA, "answer": Step.ANSWER}
STYLE = FarEndStyle(echo=False, sends_audio=False)
ORIGIN = "http://127.0.0.1:8765"


class Replay:
    """One scenario against one gateway. `run` raises `AssertionError` at the first frame that differs."""

    def __init__(self, gateway: LabGateway, recording: Json, offer: str) -> None:
        self._gateway = gateway
        self._steps: list[Json] = recording["steps"]
        self._dialogs: list[list[str]] = recording["dialogs"]
        self._anchored = recording["anchored"]
        self._offer = offer
        self._sockets: dict[str, ClientConnection] = {}
        self._users: dict[str, str] = {}  # socket -> login
        self._sessids: dict[str, str] = {}  # login -> session
        self._tokens: dict[str, str] = {}  # login -> sticky-routing token
        self._calls: dict[str, str] = {}  # alias -> callID
        self._invited: dict[str, Json] = {}  # alias -> params of the gateway's last offer
        self._phones: dict[str, FarEnd] = {}  # alias -> media of an anchored call
        self._early: dict[str, dict[str, Json]] = {}  # socket -> results that came before their turn, by id
        self._last_ids: dict[tuple[str, str], Any] = {}  # (socket, method) -> id of the gateway's last request

    async def run(self) -> None:
        for step in self._steps:
            if step.get("login"):
                self._gateway.registrar.add_user(step["login"], PASSWORD)
        self._gateway.registrar.add_token(TOKEN, TOKEN)
        self._gateway.registrar.add_assistant(ASSISTANT, "busy")
        try:
            for number, step in enumerate(self._steps):
                try:
                    async with asyncio.timeout(GUARD_S):
                        await getattr(self, "_" + step["do"])(number, step)
                except TimeoutError:
                    raise AssertionError(f"step {number}: nothing came: {json.dumps(step)}") from None
        finally:
            for socket in self._sockets.values():
                await socket.close()
            for phone in self._phones.values():
                await phone.close()

    # -- what the client did ---------------------------------------------------------------------------------

    async def _open(self, number: int, step: Json) -> None:
        login = next(each for each in self._steps[number:] if each["do"] == "send" and each["socket"] == step["socket"])
        query = dict.fromkeys(step["query"], "true")
        if "voice_sdk_id" in query:
            query["voice_sdk_id"] = self._tokens[_user(login)]
        url = f"{self._gateway.url}/?{urlencode(query)}"
        self._sockets[step["socket"]] = await connect(url, origin=ORIGIN, ping_interval=None, compression=None)  # type: ignore[arg-type]
        visit = self._gateway.visits[-1]
        assert (visit.query, visit.origin) == (query, ORIGIN)

    async def _close(self, _number: int, step: Json) -> None:
        socket = self._sockets[step["socket"]]
        visit_user = self._users.get(step["socket"])
        await socket.close()
        while visit_user is not None and (session := self._gateway.registrar.session_of(visit_user)) is not None:
            if session.socket is None or session.socket.number != self._number_of(step["socket"]):
                break
            await asyncio.sleep(0.01)

    async def _post(self, _number: int, step: Json) -> None:
        headers = "".join(f"{name}: x\r\n" for name in step["headers"])
        reader, writer = await asyncio.open_connection("127.0.0.1", self._gateway.port)
        head = f"POST {step['path']} HTTP/1.1\r\nOrigin: {ORIGIN}\r\n{headers}Content-Length: 2\r\n\r\n"
        writer.write(head.encode() + b"{}")
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert set(step["headers"]) <= set(self._gateway.uploads[-1].headers)

    async def _ack(self, _number: int, step: Json) -> None:
        request_id = self._last_ids[step["socket"], step["of"]]
        method = TELNYX.method(step["of"])
        await self._write(step["socket"], {"jsonrpc": "2.0", "id": request_id, "result": {"method": method}})

    async def _send(self, number: int, step: Json) -> None:
        self._arrange(number, step)
        method, params = step["method"], await self._params(step)
        if "login" in method:
            self._users[step["socket"]] = _user(step)
        message: Json = {"jsonrpc": "2.0", "id": step["request"]}
        if method.startswith("debug_report_"):
            message["type"] = method
        else:
            message |= {"method": method if "login" in method else TELNYX.method(method), "params": params}
        seen = len(list(self._gateway.frames))
        await self._write(step["socket"], message)
        following = self._steps[number + 1] if number + 1 < len(self._steps) else {}
        if following.get("do") == "send" and following["socket"] == step["socket"]:
            return  # requests that were sent in one go are sent in one go
        while not any(frame.message == message for frame in list(self._gateway.frames)[seen:]):
            await asyncio.sleep(0.002)

    async def _params(self, step: Json) -> Json:
        params: Json = dict.fromkeys(step["params"], "x")
        params |= {key: step[key] for key in ("action", "dtmf", "trickle", "cause", "causeCode") if key in step}
        params |= {key: step[key] for key in ("reconnection", "login") if key in step}
        user = self._users.get(step["socket"], _user(step))
        secrets = {"passwd": PASSWORD, "login_token": TOKEN, "target_id": ASSISTANT}
        secrets["sessid"] = self._sessids.get(user, "")
        params |= {key: value for key, value in secrets.items() if key in params}
        if "call" in step:
            call_id = self._calls.setdefault(step["call"], step["call"])
            dialog: Json = dict.fromkeys(self._dialogs[step["dialog"]], "x")
            to = str(step.get("to", "")).rpartition("-")[2]
            given = {"callID": call_id, "destination_number": to, "custom_headers": []}
            params["dialogParams"] = dialog | {key: value for key, value in given.items() if key in dialog}
            if "callID" in params:
                params["callID"] = call_id
        if "sdp" in params:
            sdp = await self._sdp(step)
            params["sdp"] = without_candidates(sdp) if step["no_candidates"] else sdp
        if step["method"] == "candidate":
            params |= {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}
        return params

    async def _sdp(self, step: Json) -> str:
        if not self._anchored:
            return self._offer
        alias = step["call"]
        if step["method"] in ("invite", "modify") or alias not in self._phones:
            await self._new_phone(alias)
        if step["method"] in ("invite", "modify"):
            return await self._phones[alias].offer()
        return await self._phones[alias].answer(self._invited[alias]["sdp"])

    async def _new_phone(self, alias: str) -> None:
        if alias in self._phones:
            await self._phones[alias].close()
        self._phones[alias] = FarEnd(STYLE)

    # -- what the gateway was made to do ------------------------------------------------------------------------

    def _arrange(self, number: int, step: Json) -> None:
        """Set the fault switches that lead to what was recorded after this request."""
        faults, method = self._gateway.faults, step["method"]
        faults.silent_methods = {method} if step.get("unanswered") else set()
        faults.error_codes, faults.null_results = {}, {method} if step.get("null") else set()
        code = step.get("fails")
        if code == -32000:
            faults.authentication_required = 1
        elif "login" in method and code is not None:
            faults.reject_logins = 1
        elif method in ("invite", "modify") and code is not None:
            faults.error_codes = {method: code}
        if method == "invite":
            self._arrange_call(number, step)

    def _arrange_call(self, number: int, step: Json) -> None:
        order, answered_with_sdp, ended, rings = [], True, False, False
        for later in self._steps[number + 1 :]:
            rings = rings or (later["do"] == "expect" and later.get("method") == "invite")
            if later["do"] == "send" and later["method"] in ("invite", "bye") and later["socket"] == step["socket"]:
                break
            if later["do"] != "expect" or later["socket"] != step["socket"] or later.get("raw"):
                continue
            if later.get("to") == step["request"]:
                order.append(Step.RESULT)
            elif later.get("call") == step["call"] and later.get("method") in CALL_STEPS:
                order.append(CALL_STEPS[later["method"]])
                if later["method"] == "answer":
                    answered_with_sdp = bool(later.get("sdp"))
            elif later.get("call") == step["call"] and later.get("method") == "bye":
                ended = True
        usual = list(TELNYX.order)
        self._gateway.faults.order = None if order == usual[: len(order)] and rings else tuple(order)
        self._gateway.faults.answer_without_sdp = Step.MEDIA not in order and not answered_with_sdp
        if ended and Step.ANSWER not in order and step["to"] == "busy":
            self._gateway.exchange.routes["busy"] = Route(hangup=USER_BUSY)

    async def _control(self, _number: int, step: Json) -> None:
        gateway = self._gateway
        match step["op"], step.get("switch"):
            case "kill", _:
                gateway.abort(step["user"])
            case "punt", _:
                await gateway.punt(step["user"])
            case "ping", _:
                await gateway.ping(step["user"])
            case "opt", "attach":
                gateway.faults.attach_calls = step["value"]
            case "opt", "state":
                *first, last = step["value"]
                gateway.faults.gateway_states = first + ([] if last == "REGED" else [last] * STATES_THAT_LAST)
            case "raw", _:
                await self._send_raw(step)

    async def _send_raw(self, step: Json) -> None:
        params: Json = dict.fromkeys(step["params"], "x")
        params |= {"callID": self._calls.get(step["call"], "zz")} if "callID" in params else {}
        params |= {"state": step["state"]} if step["state"] else {}
        params |= {"reattached_sessions": []} if "reattached_sessions" in params else {}
        message = {"jsonrpc": "2.0", "id": step["id"], "method": TELNYX.method(step["method"]), "params": params}
        session = self._gateway.registrar.session_of(step["user"])
        if session is not None and session.socket is not None:
            await session.socket.send_raw(json.dumps(message))

    # -- what came back -----------------------------------------------------------------------------------------

    async def _expect(self, number: int, step: Json) -> None:
        where = f"step {number}: {json.dumps(step)}"
        message = await self._next(step)
        if "dtmf" in message.get("params", {}) and "dtmf" not in step.get("params", []):
            message = await self._next(
                step["socket"]
            )  # the recorded gateway kept digits to itself, ours passes them on
        came = f"{where}, but there came {_outline(message)}"
        user = self._users[step["socket"]]
        self._tokens[user] = message.get("voice_sdk_id", self._tokens.get(user, ""))
        assert step.get("raw") or "error" in message or message["voice_sdk_id"].startswith("VSDK"), came
        if "to" in step:
            assert message.get("id") == step["to"], came
            self._compare_result(step, message, user, came)
            return
        assert message.get("method") == TELNYX.method(step["method"]), came
        params = message["params"]
        self._last_ids[step["socket"], step["method"]] = message["id"]
        assert set(step["params"]) <= set(params), came
        assert ("sdp" in params) == step.get("sdp", False), came
        assert len(params.get("reattached_sessions", [])) == step.get("reattached", 0), came
        if "call" in step:
            assert self._calls.setdefault(step["call"], params["callID"]) == params["callID"], came
        if step["method"] in ("invite", "attach"):
            self._invited[step["call"]] = params
            if step["method"] == "attach" and self._anchored:
                await self._new_phone(step["call"])
        elif step["method"] in ("media", "answer") and "sdp" in params and self._anchored and not step.get("raw"):
            await self._phones[step["call"]].accept(params["sdp"])

    def _compare_result(self, step: Json, message: Json, user: str, came: str) -> None:
        if "error" in step:
            assert message["error"]["code"] == step["error"], came
        elif step["result"] is None:
            assert message["result"] is None, came
        else:
            result = message["result"]
            assert set(step["result"]) <= set(result), came
            if step.get("state"):
                assert result["params"]["state"] == step["state"], came
            if result.get("message") == "logged in":
                self._sessids[user] = result["sessid"]

    async def _next(self, step: Json) -> Json:
        """The next frame, but for what may come in another order than recorded."""
        early = self._early.setdefault(step["socket"], {})
        if (waited_for := str(step.get("to") or step["method"])) in early:
            return early.pop(waited_for)
        while True:
            message: Json = json.loads(await self._sockets[step["socket"]].recv())
            is_result = "result" in message or "error" in message
            if is_result and message["id"] != step.get("to") and message["id"] in self._open_requests(step):
                early[message["id"]] = message  # JSON-RPC pairs results by id: of two open requests either may be first
            elif message.get("method") == TELNYX.method("attach") and step.get("method") != "attach":
                early["attach"] = message  # comes as soon as the new media is ready, beside the registration
            elif "dtmf" not in message.get("params", {}) or "dtmf" in step.get("params", []):
                return message  # but for digits: the recorded gateway kept them to itself, ours passes them on

    def _open_requests(self, step: Json) -> set[str]:
        """The requests of this socket that were sent before this step and answered after it."""
        at = self._steps.index(step)
        mine = [(each, number > at) for number, each in enumerate(self._steps) if each.get("socket") == step["socket"]]
        sent = {each["request"] for each, later in mine if each["do"] == "send" and not later}
        return sent & {each["to"] for each, later in mine if "to" in each and each["do"] == "expect" and later}

    async def _write(self, socket: str, message: Json) -> None:
        await self._sockets[socket].send(json.dumps(message))

    def _number_of(self, socket: str) -> int:
        return list(self._sockets).index(socket) + 1


def _user(step: Json) -> str:
    """The login name as which a login step comes."""
    if step["method"] == "anonymous_login":
        return f"assistant:{ASSISTANT}"
    return TOKEN if step.get("token") else str(step.get("login", ""))


def _outline(message: Json) -> str:
    """A frame without its values."""
    if "method" in message:
        return f"{message['method']} with {sorted(message.get('params', {}))}"
    if "error" in message:
        return f"an error for {message.get('id')}: {message['error']}"
    result = message.get("result")
    return f"a result for {message.get('id')} with {sorted(result) if isinstance(result, dict) else result}"
