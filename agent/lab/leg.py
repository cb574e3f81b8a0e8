"""What the lab gateway holds: a client's session, and its calls, each a leg with something on its other side."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field

from agent.lab.bridge import BridgePort
from agent.lab.far_end import FarEnd
from agent.lab.media_end import MediaEnd
from agent.lab.wire import ClientSocket, Json


@dataclass(frozen=True)
class Hangup:
    """Why a call ends, as BYE says it."""

    cause: str
    cause_code: int
    sip_code: int | None = None
    sip_reason: str | None = None


NORMAL_CLEARING = Hangup("NORMAL_CLEARING", 16)
USER_BUSY = Hangup("USER_BUSY", 17, 486, "Busy Here")
CALL_REJECTED = Hangup("CALL_REJECTED", 21, 603, "Decline")
UNALLOCATED_NUMBER = Hangup("UNALLOCATED_NUMBER", 1, 404, "Not Found")
INCOMPATIBLE_DESTINATION = Hangup("INCOMPATIBLE_DESTINATION", 88, 488, "Not Acceptable Here")
SUBSCRIBER_ABSENT = Hangup("SUBSCRIBER_ABSENT", 20, 480, "Temporarily Unavailable")
ORIGINATOR_CANCEL = Hangup("ORIGINATOR_CANCEL", 487, 487, "Request Terminated")
SESSION_EXPIRED = Hangup("NORMAL_TEMPORARY_FAILURE", 41)
SIP_OF_CAUSE = {17: (486, "Busy Here"), 19: (480, "Temporarily Unavailable"), 21: (603, "Decline")}


def telnyx_ids() -> Json:
    """Fresh names for a call, as the gateway gives them."""
    leg_id = str(uuid.uuid4())
    return {
        "telnyx_session_id": str(uuid.uuid4()),
        "telnyx_leg_id": leg_id,
        "telnyx_call_control_id": f"v3:{leg_id}",
    }


@dataclass(eq=False)
class Session:
    """One login's session. It outlives its socket for a while, so that calls survive a reconnect."""

    login: str
    sessid: str
    voice_sdk_id: str
    fixed_destination: str | None = None  # anonymous login: every call goes to that assistant
    socket: ClientSocket | None = field(default=None, repr=False)
    calls: dict[str, Leg] = field(default_factory=dict, repr=False)
    registered: bool = False
    losses: int = 0  # how often its socket was lost
    channels: set[str] = field(default_factory=set)  # event channels the client has subscribed to

    async def notify(self, method: str, params: Json) -> None:
        """Send a request of the gateway to the client, if it is connected."""
        if self.socket is not None:
            await self.socket.request(method, params)


@dataclass(eq=False)
class Leg:
    """One client's side of a call. Created by the gateway; tests read it and await its events."""

    call_id: str
    session: Session
    placed_by_client: bool
    caller_name: str = ""
    caller_number: str = ""
    callee_name: str = ""
    callee_number: str = ""
    headers: list[Json] = field(default_factory=list)
    ids: Json = field(default_factory=telnyx_ids)
    client_state: str = ""  # of the application behind the gateway: what is told of the call from now on
    offer: str = field(default="", repr=False)
    far_end: FarEnd | None = field(default=None, repr=False)  # the other party, where that is none of our clients
    port: BridgePort | None = field(default=None, repr=False)  # this client's media, where the call is anchored
    peer: Leg | None = field(default=None, repr=False)  # the other client's leg
    ring_s: float = 0.0
    digits: str = ""  # DTMF by INFO, in order
    messages: list[Json] = field(default_factory=list, repr=False)  # texts by INFO, in order
    held: bool = False
    transferred_to: str = ""
    hangup: Hangup | None = None
    ended_by_client: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    answer_sdp: asyncio.Future[str] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future(), repr=False
    )
    progress: asyncio.Task[None] | None = field(default=None, repr=False)
    waiting_candidates: list[Json] = field(default_factory=list, repr=False)

    @property
    def media(self) -> MediaEnd | None:
        """What ends this client's media at the gateway; None when its SDP is passed through."""
        return self.far_end or self.port

    def parties(self) -> Json:
        """The four caller and callee fields of INVITE, ringing and attach."""
        return {
            "caller_id_name": self.caller_name,
            "caller_id_number": self.caller_number,
            "callee_id_name": self.callee_name,
            "callee_id_number": self.callee_number,
        }
