"""When a call ends by itself because what it waits for does not come. Pure: time is passed in, monotonic seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.calls.reasons import EndReason
from agent.calls.state import CallState

if TYPE_CHECKING:
    from agent.calls.call import Call

GATEWAY_WAIT_S = 10.0  # an unanswered call whose gateway has gone for longer will not be answered any more
CONNECT_TIMEOUT_S = 15.0  # from the answer to the keys; beyond it people have hung up
BYE_GRACE_S = 2.0  # the far end's DTLS good-bye may overtake its BYE, or the gateway's attach, on the other connection
ATTACH_WAIT_S = 20.0  # how long FreeSWITCH keeps a call whose socket is lost
RESUME_WAIT_S = 90.0  # how long Telnyx's gateway keeps a call for a session that comes back (telnyx-rtc.md 1.3)
MEDIA_TIMEOUT_S = 30.0  # as long as ICE consent takes to expire; DTX pauses carry RTP every 0.4 s

_STATE_DETAIL = {
    EndReason.NO_ANSWER: "nobody answered in time",
    EndReason.SIGNALLING_TIMEOUT: "the gateway did not react in time",
    EndReason.LOCAL_HANGUP: "the longest time for a call is over",
}


class Deadlines:
    """What `call` waits for, beside the time that its state may last: gateway, audio path, media process, packets."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._connected_s: float | None = None
        self._expected_s: float | None = None  # since when the far end's sound should come
        self._counted_s = 0.0  # when the media process last gave figures
        self._attaching_s: float | None = None
        self._resume_until_s: float | None = None
        self._offline_s: float | None = None
        self._online_s = 0.0
        self._lost_s: float | None = None
        self._lost_text = ""

    def connected(self, now_s: float, *, receives: bool = True) -> None:
        """There is an audio path, by which we are to be sent sound unless not `receives`. A path made anew does not
        end a silence."""
        self._attaching_s = self._lost_s = self._resume_until_s = None
        self._connected_s = self._counted_s = now_s
        if self._expected_s is None or not receives:
            self._expected_s = now_s if receives else None

    def lost(self, now_s: float, text: str) -> None:
        """The audio path is gone; `text` says how."""
        self._lost_s, self._lost_text = now_s, text

    def attaching(self, now_s: float) -> None:
        """Another audio path is being made in place of the present one, lost or not."""
        self._attaching_s, self._lost_s = now_s, None

    def serves_on(self) -> None:
        """The other audio path came to nothing, and there is the present one still."""
        self._attaching_s = None

    def resuming(self, now_s: float, away_s: float) -> None:
        """The call is taken up again after the daemon was away for `away_s`."""
        self._resume_until_s = now_s + RESUME_WAIT_S - away_s

    def counted(self, now_s: float) -> None:
        """The media process lives."""
        self._counted_s = now_s

    def offline(self, now_s: float) -> None:
        """There is no connection to the gateway."""
        if self._offline_s is None:
            self._offline_s = now_s

    def online(self, now_s: float) -> None:
        """The line is ready."""
        self._offline_s, self._online_s = None, now_s

    def line_changed(self, now_s: float, *, ready: bool, invited: bool) -> None:
        """The line's state is another; without it only a call that the gateway knows of has something to lose."""
        if ready:
            self.online(now_s)
        elif invited:
            self.offline(now_s)

    def nearest(self) -> tuple[float, EndReason, str]:
        """When the call ends if nothing happens, why, and a sentence for a person. RuntimeError after its end."""
        due = self._call.deadline()
        if due is None:
            raise RuntimeError("an ended call has no deadline")
        candidates = [(*due, _STATE_DETAIL.get(due[1], ""))]
        if self._lost_s is not None:
            wait_until_s = max(self._lost_s, self._online_s) + BYE_GRACE_S
            if self._offline_s is not None:  # the gateway may offer the call again when the line is back
                wait_until_s = self._lost_s + ATTACH_WAIT_S
            candidates.append((wait_until_s, EndReason.MEDIA_FAILED, self._lost_text))
        elif self._resume_until_s is not None:
            text = "after its restart the device could not take the call up again in time"
            candidates.append((self._resume_until_s, EndReason.GATEWAY_LOST, text))
        elif self._call.answered_s is not None and self._connected_s is None:
            text = f"no audio path within {CONNECT_TIMEOUT_S:.0f} s of the answer"
            candidates.append((self._call.answered_s + CONNECT_TIMEOUT_S, EndReason.MEDIA_FAILED, text))
        if self._attaching_s is not None:
            text = f"no audio path within {CONNECT_TIMEOUT_S:.0f} s of the gateway's attach"
            candidates.append((self._attaching_s + CONNECT_TIMEOUT_S, EndReason.MEDIA_FAILED, text))
        if self._connected_s is not None:
            text = f"the media process has been away for {MEDIA_TIMEOUT_S:.0f} s"
            candidates.append((self._counted_s + MEDIA_TIMEOUT_S, EndReason.MEDIA_FAILED, text))
        if self._offline_s is not None and not self._call.answered:
            text = "the gateway went away before the answer"
            candidates.append((self._offline_s + GATEWAY_WAIT_S, EndReason.GATEWAY_LOST, text))
        return min(candidates)

    def silent_s(self, seconds_since_packet: float | None, now_s: float) -> float | None:
        """For how long the far end has been silent that should be heard; None while it need not be, as on hold."""
        if self._call.state is not CallState.ACTIVE or self._expected_s is None:
            return None
        expected_s = now_s - max(self._expected_s, self._call.entered_s)  # what was on hold does not count
        return expected_s if seconds_since_packet is None else min(seconds_since_packet, expected_s)
