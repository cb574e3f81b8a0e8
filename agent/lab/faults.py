"""What the lab gateway can do wrong on purpose: the fault switches of telnyx-rtc.md section 8.

Set the attributes at any time; each holds for what happens next. Faults that are an act rather than a habit
(abort, punt, a raw frame, a pushed state) are methods of `LabGateway`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from agent.lab.wire import Step

ALWAYS = sys.maxsize  # for the counting switches: never runs out


@dataclass
class Faults:
    """The switches. Those that count are counted down as they are used; `ALWAYS` lasts."""

    reject_logins: int = 0
    """The next logins get error -32001, whatever their credentials."""

    authentication_required: int = 0
    """The next requests other than a login get error -32000: the client must log in again."""

    gateway_states: list[str] = field(default_factory=list)
    """States for the next gatewayState requests, first to last; REGED when the list is empty.

    ["NOREG"] * 3 registers at the fourth poll; ["TRYING"] needs `LabGateway.push_state` afterwards.
    """

    silent_methods: set[str] = field(default_factory=set)
    """Methods without prefix that get no answer at all and have no effect: {"ping"}, {"bye"}, {"login"}.

    Here and in `error_codes` "modify.updateMedia" means that action alone.
    """

    error_codes: dict[str, int] = field(default_factory=dict)
    """Methods without prefix that fail with this JSON-RPC error code: {"invite": -32002, "modify.hold": -32002}."""

    null_results: set[str] = field(default_factory=set)
    """Methods without prefix whose result is null. The request still has its effect."""

    order: tuple[Step, ...] | None = None
    """The order of an outbound call's messages, whichever way round; None for the dialect's own.

    With MEDIA in it the answer carries no SDP. A RESULT behind the others is the late INVITE result of
    telnyx-rtc.md 0.1; a step left out is never sent.
    """

    answer_without_sdp: bool = False
    """The answer carries no SDP, even when no `media` came before it."""

    update_without_sdp: bool = False
    """The result of an updateMedia holds no SDP: the path stays as it was."""

    candidates_first: bool = False
    """With `LabGateway.trickles`: candidates for an outbound call come before the SDP they belong to."""

    failed_uploads: int = 0
    """The next call reports are answered with HTTP 500."""

    step_delay_s: float = 0.0
    """How long to wait before each message of a call's set-up."""

    refuse_connections: bool = False
    """New sockets are turned away with HTTP 503. `LabGateway.stop_listening` refuses them at TCP level."""

    forget_calls: bool = False
    """After a reconnect `reattached_sessions` is empty and the session's calls are ended."""

    reattach_also: list[str] = field(default_factory=list)
    """Further callIDs that every `reattached_sessions` lists, whether there is such a call or not."""

    attach_calls: bool = False
    """After a reconnect each call whose media ends here gets an `attach` with a fresh offer (telnyx-rtc.md 5.6)."""

    hide_call_ids: bool = False
    """A BYE sent to the client names a call that does not exist."""

    def take(self, switch: str) -> bool:
        """Use up one of a counting switch; False when it is off."""
        left: int = getattr(self, switch)
        if left <= 0:
            return False
        if left != ALWAYS:
            setattr(self, switch, left - 1)
        return True
