"""Session descriptions the way FreeSWITCH writes them, made from stock ones (verto.md, "SDP facts")."""

from __future__ import annotations

import re

LEFT_OUT = ("a=mid:", "a=group:", "a=extmap:", "a=msid:", "a=fingerprint:sha-384", "a=fingerprint:sha-512")
PROFILE = re.compile(r"^(m=audio \d+ )UDP/TLS/RTP/SAVPF", re.MULTILINE)
MEDIA_ID = "a=mid:"
CANDIDATE_LINES = ("a=candidate:", "a=end-of-candidates")


def freeswitch_style(sdp: str) -> str:
    """The same session without a=mid and a=group:BUNDLE, one fingerprint, profile RTP/SAVPF, o= and s= its own."""
    lines = []
    for line in sdp.splitlines():
        if line.startswith(LEFT_OUT):
            continue
        if line.startswith("o="):
            line = "o=FreeSWITCH " + line.partition(" ")[2]  # noqa: PLW2901 - one line in, one line out
        lines.append("s=FreeSWITCH" if line.startswith("s=") else line)
    return PROFILE.sub(r"\1RTP/SAVPF", "\r\n".join(lines) + "\r\n")


def with_media_ids(sdp: str, offer: str) -> str:
    """An answer that names the offer's media sections, as stock aiortc insists on; FreeSWITCH does not care."""
    if MEDIA_ID in sdp:
        return sdp
    ids = iter(re.findall(r"^a=mid:(\S+)", offer, re.MULTILINE))
    lines = []
    for line in sdp.splitlines():
        lines.append(line)
        if line.startswith("m="):
            lines.append(f"a=mid:{next(ids, '')}")
    return "\r\n".join(lines) + "\r\n"


def has_candidates(sdp: str) -> bool:
    """Whether the description holds at least one usable candidate: an IP literal, not an mDNS name."""
    return re.search(r"^a=candidate:(?!.* \S+\.local \d+ typ )", sdp, re.MULTILINE) is not None


def without_candidates(sdp: str) -> tuple[str, list[dict[str, str | int]]]:
    """An SDP as a trickling peer sends it first, and its candidates as `candidate` requests carry them."""
    lines: list[str] = []
    candidates: list[dict[str, str | int]] = []
    section, media_id = -1, ""
    ids = re.findall(r"^a=mid:(\S+)", sdp, re.MULTILINE)
    for line in sdp.splitlines():
        if line.startswith("m="):
            section += 1
            media_id = ids[section] if section < len(ids) else str(section)
            line = re.sub(r"^(m=\S+) \d+", r"\1 9", line)  # noqa: PLW2901 - one line in, one line out
        elif line.startswith("c=") and section >= 0:
            line = "c=IN IP4 0.0.0.0"  # noqa: PLW2901
        if line.startswith("a=candidate:"):
            candidate = line.removeprefix("a=")
            candidates.append({"candidate": candidate, "sdpMid": media_id, "sdpMLineIndex": section})
        if not line.startswith(CANDIDATE_LINES):
            lines.append(line)
        if line.startswith("a=ice-pwd:"):
            lines.append("a=ice-options:trickle")
    return "\r\n".join(lines) + "\r\n", candidates
