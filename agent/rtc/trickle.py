"""Telling this side's candidates one by one (RFC 8838), in the SDK's words (telnyx-rtc.md 2.9)."""

from __future__ import annotations

from collections.abc import Callable

from aioice import Candidate

from agent.rtc.events import CandidatesEnd, LocalCandidate, NoPath
from agent.rtc.path import Path
from agent.rtc.sdp import LocalAudio


def tell_candidates(
    path: Path,
    local: LocalAudio,
    tell: Callable[[LocalCandidate | CandidatesEnd], None],
    on_nothing: Callable[[str], bool],
) -> None:
    """Tell every candidate of `path`, whose description is `local`, and then the end: each by a turn of the loop.

    When not one was found `on_nothing` gets the sentence that says what helps; the end is told if it returns False.
    """
    mid, index = local.mid or "0", len(local.refused_before)

    def found(candidate: Candidate) -> None:
        tell(LocalCandidate(f"candidate:{candidate.to_sdp()} generation 0 ufrag {local.ice_ufrag}", mid, index))

    def ended() -> None:
        try:
            path.gathering.require_candidates()
        except NoPath as error:
            if on_nothing(str(error)):
                return
        tell(CandidatesEnd())

    path.gathering.subscribe(found, ended)
