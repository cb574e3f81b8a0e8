"""A bare client for the lab gateway: frames in, frames out, nothing decided for the test."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from aiortc import RTCPeerConnection, RTCSessionDescription
from websockets.asyncio.client import ClientConnection

from agent.lab.media_end import MediaEnd
from agent.lab.wire import Dialect

GUARD_S = 10.0
USERS = {"door": "door-password", "desk": "desk-password"}
OFFER = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 127.0.0.1\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\n"
    "a=rtpmap:96 opus/48000/2\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
    "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=setup:actpass\r\n"
    "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n"
)


class RawClient:
    """One socket. `next` gives frames in order of arrival; `until` skips to the first with that method."""

    def __init__(self, socket: ClientConnection, dialect: Dialect) -> None:
        self.socket = socket
        self.dialect = dialect
        self.sessid: str | None = None
        self._ids = (f"c-{number}" for number in itertools.count(1))

    async def send(self, method: str, params: dict[str, Any]) -> str:
        request_id = next(self._ids)
        frame = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        await self.socket.send(json.dumps(frame))
        return request_id

    async def send_call(self, name: str, call_id: str, /, **fields: Any) -> str:
        dialog = {"callID": call_id, **fields.pop("dialog", {})}
        params = {"sessid": self.sessid, "dialogParams": dialog, **fields}
        return await self.send(self.dialect.prefix + name, params)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(GUARD_S):
            return json.loads(await self.socket.recv())

    async def until(self, method: str) -> dict[str, Any]:
        while (frame := await self.next()).get("method") != self.dialect.prefix + method:
            pass
        return frame

    async def reply_to(self, request_id: str) -> dict[str, Any]:
        while (frame := await self.next()).get("id") != request_id:
            pass
        return frame

    async def log_in(self, login: str = "door", **fields: Any) -> dict[str, Any]:
        """Log in, register, and return the params of clientReady."""
        request_id = await self.send("login", {"login": login, "passwd": USERS[login], **fields})
        self.sessid = (await self.reply_to(request_id))["result"]["sessid"]
        ready = await self.until("clientReady")
        if self.dialect.gateway_state:
            await self.reply_to(await self.send("telnyx_rtc.gatewayState", {}))
        return ready["params"]

    async def dial(self, number: str, call_id: str = "call-1", sdp: str = OFFER, **fields: Any) -> str:
        dialog = {"destination_number": number, "caller_id_name": "Door", "caller_id_number": "+15550111"}
        dialog |= fields.pop("dialog", {})
        return await self.send_call("invite", call_id, sdp=sdp, dialog=dialog, **fields)


def short(frame: dict[str, Any]) -> str:
    """A frame in one word: the method without prefix, "result" or "error"."""
    if "method" in frame:
        return frame["method"].rpartition(".")[2]
    return "result" if "result" in frame else "error"


async def frames_until(client: RawClient, last: str) -> list[dict[str, Any]]:
    """Frames up to and with the first of that kind."""
    frames = [await client.next()]
    while short(frames[-1]) != last:
        frames.append(await client.next())
    return frames


async def offer_of(peer: RTCPeerConnection) -> str:
    await peer.setLocalDescription(await peer.createOffer())
    return peer.localDescription.sdp


async def answer_of(peer: RTCPeerConnection, offer: str) -> str:
    await peer.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
    await peer.setLocalDescription(await peer.createAnswer())
    return peer.localDescription.sdp


def without_candidates(sdp: str) -> str:
    return re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", sdp)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def guarded(work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(GUARD_S):
        return await work


async def heard_enough(far_end: MediaEnd, seconds: float) -> None:
    """Until that many seconds of audio have arrived there."""
    async with asyncio.timeout(2 * GUARD_S):
        while far_end.heard.seconds < seconds:
            await asyncio.sleep(0.05)


def with_mid(sdp: str) -> str:
    """What a client has to do to a FreeSWITCH SDP before stock aiortc takes it."""
    if "a=mid:" in sdp:
        return sdp
    lines = []
    for line in sdp.splitlines():
        lines += [line, "a=mid:0"] if line.startswith("m=") else [line]
    return "\r\n".join(lines) + "\r\n"
