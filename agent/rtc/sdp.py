"""Session descriptions with one audio line (RFC 8866, RFC 8829), read tolerantly and written strictly.

FreeSWITCH-style descriptions have no `a=mid`, no `a=group:BUNDLE` and the profile `RTP/SAVPF` (verto.md, SDP
facts); aiortc's own parser asserts on much of what the wild sends, so reading is done here. Pure: text in,
dataclasses out, and back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.rtc import wishes
from agent.rtc.codecs import CODECS, STATIC, TELEPHONE_EVENT, Codec, offered, written
from agent.rtc.wishes import Wishes

_PROFILES = {"UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVP"}
MIRRORED = {  # RFC 3264 6.1: the direction that an answer may have, by that of the offer
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
_SENDING = {"sendrecv", "sendonly"}
_MIN_PTIME_MS, _MAX_PTIME_MS = 10, 120  # what we take: shorter is waste, longer is not Opus (RFC 7587 6.1)
_MAX_ICE_CHARS = 256  # RFC 8839 5.4, of ice-ufrag and ice-pwd
_MAX_SDP_CHARS = 64 * 1024  # a browser's audio SDP is 3 KiB; what is larger is not one


class SdpError(ValueError):
    """A session description that cannot be used. `str()` is one sentence that names the part, never the text."""


@dataclass(frozen=True)
class Fingerprint:
    """RFC 8122: hash function and colon-separated value of a DTLS certificate."""

    algorithm: str
    value: str


@dataclass(frozen=True)
class OtherMedia:
    """A media line that is not our audio: an answer must refuse it in its place (RFC 3264 6)."""

    media: str
    profile: str
    formats: str
    mid: str | None = None


@dataclass(frozen=True)
class RemoteAudio:
    """What a remote description says of its audio line. `candidates` are the values of `a=candidate`."""

    profile: str
    codecs: tuple[Codec, ...]
    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    fingerprints: tuple[Fingerprint, ...] = ()
    candidates: tuple[str, ...] = ()
    setup: str = ""  # active | passive | actpass, empty if absent
    mid: str | None = None
    bundle: bool = False
    ice_lite: bool = False
    direction: str = "sendrecv"
    ptime: str = ""  # of the lines `a=ptime` and `a=maxptime`, as they stand there
    maxptime: str = ""
    bandwidth_kbps: int | None = None  # b=AS, of what we send
    candidates_end: bool = False  # `candidates` are all there will be
    others_before: tuple[OtherMedia, ...] = ()
    others_after: tuple[OtherMedia, ...] = ()

    def speaks(self, ours: Codec) -> bool:
        """Whether the far end lists this codec of ours, under whichever payload type."""
        return ours.name in CODECS and any(
            one.name == ours.name and one.clock_rate_hz == ours.clock_rate_hz for one in self.codecs
        )

    def common(self, allowed: Sequence[str]) -> tuple[Codec, ...]:
        """The far end's codecs among those `allowed` here, each once, in its order; `SdpError` when there is none."""
        common: dict[str, Codec] = {}
        for codec in self.codecs:
            ours = CODECS.get(codec.name) if codec.name in allowed else None
            if ours and codec.clock_rate_hz == ours.clock_rate_hz and codec.channels <= ours.channels:
                common.setdefault(codec.name, codec)
        if common:
            return tuple(common.values())
        theirs = ", ".join(sorted({codec.name for codec in self.codecs} - {TELEPHONE_EVENT})) or "nothing"
        names = ", ".join(map(written, allowed))
        raise SdpError(f"m=audio: the far end speaks {theirs}, and none of {names}; allow one of them at the gateway")

    def telephone_event(self, codec: Codec) -> Codec | None:
        """The far end's telephone-event beside `codec`: one of another clock rate would tell wrong durations
        (RFC 4733 2.1)."""
        events = (one for one in self.codecs if one.name == TELEPHONE_EVENT)
        return next((one for one in events if one.clock_rate_hz == codec.clock_rate_hz), None)

    def wishes(self, codec: Codec) -> Wishes:
        """What the far end asks of what it is sent in `codec`."""
        return wishes.read(codec.parameters, ptime=self.ptime, maxptime=self.maxptime)


@dataclass(frozen=True)
class LocalAudio:
    """What we say of ours. `candidates` are the values of `a=candidate`, best first."""

    session_id: int
    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    fingerprint: Fingerprint
    candidates: tuple[str, ...]
    setup: str
    ssrc: int
    cname: str
    codecs: tuple[Codec, ...] = offered()
    version: int = 1  # of the description, in o= (RFC 8866 5.2)
    trickle: bool = False  # the candidates follow by themselves (RFC 8840 4.1)
    ptime_ms: int = 20
    fec: bool = True
    stereo: bool = False
    bandwidth_kbps: int | None = None  # b=AS, of what we are sent
    mid: str | None = "0"
    bundle: bool = True
    profile: str = "UDP/TLS/RTP/SAVPF"
    direction: str = "sendrecv"
    refused_before: tuple[OtherMedia, ...] = ()
    refused_after: tuple[OtherMedia, ...] = ()


def write(local: LocalAudio) -> str:
    """A description with all candidates and `a=end-of-candidates`, or one without any that announces trickle."""
    candidates = () if local.trickle else local.candidates
    host, port = _default_address(candidates)
    family = "IP6" if ":" in host else "IP4"
    lines = [
        "v=0",
        f"o=- {local.session_id} {local.version} IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
    ]
    if local.bundle and local.mid is not None:
        lines.append(f"a=group:BUNDLE {local.mid}")
    lines += _refusals(local.refused_before)
    lines += [
        f"m=audio {port} {local.profile} {' '.join(str(codec.payload_type) for codec in local.codecs)}",
        f"c=IN {family} {host}",
        *([f"b=AS:{local.bandwidth_kbps}"] if local.bandwidth_kbps else []),
        *_formats(local),
        f"a=ptime:{local.ptime_ms}",
        f"a=maxptime:{_MAX_PTIME_MS}",
        f"a={local.direction}",
        "a=rtcp-mux",
    ]
    if local.mid is not None:
        lines.append(f"a=mid:{local.mid}")
    if local.direction in _SENDING:
        lines.append(f"a=msid:{local.cname} audio")
    lines += [
        f"a=ssrc:{local.ssrc} cname:{local.cname}",
        f"a=ice-ufrag:{local.ice_ufrag}",
        f"a=ice-pwd:{local.ice_pwd}",
        f"a=fingerprint:{local.fingerprint.algorithm} {local.fingerprint.value}",
        f"a=setup:{local.setup}",
        *(["a=ice-options:trickle"] if local.trickle else []),
        *(f"a=candidate:{candidate}" for candidate in candidates),
        *([] if local.trickle else ["a=end-of-candidates"]),
    ]
    lines += _refusals(local.refused_after)
    return "\r\n".join(lines) + "\r\n"


def parse(text: str) -> RemoteAudio:
    """Read a remote description: its first usable `m=audio`, with session-level values as defaults.

    Raises `SdpError`.
    """
    if len(text) > _MAX_SDP_CHARS:
        raise SdpError(f"session description of {len(text)} characters, at most {_MAX_SDP_CHARS} are read")
    session, sections = _sections(text)
    if not session or not session[0].startswith("v=0"):
        raise SdpError("session description: expected v=0 in the first line")
    for index, section in enumerate(sections):
        media = section[0][2:].split()
        if len(media) >= 4 and media[0] == "audio" and media[1] != "0":
            audio = _parse_audio(media, _attributes(section[1:]), _attributes(session))
            before, after = map(_others, (sections[:index], sections[index + 1 :]))
            limit_kbps = _bandwidth_kbps(section) or _bandwidth_kbps(session)
            return replace(audio, others_before=before, others_after=after, bandwidth_kbps=limit_kbps)
    raise SdpError("session description: no m=audio line in use")


def _bandwidth_kbps(lines: list[str]) -> int | None:
    """RFC 8866 5.8 `b=AS`; 0 and nonsense are no limit."""
    text = next((line[5:].strip() for line in lines if line.startswith("b=AS:")), "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 and int(text) > 0 else None


def _others(sections: list[list[str]]) -> tuple[OtherMedia, ...]:
    others = []
    for section in sections:
        media, _, rest = section[0][2:].partition(" ")
        profile, _, formats = rest.partition(" ")[2].partition(" ")
        mid = next(iter(_attributes(section[1:]).get("mid", ())), None)
        others.append(OtherMedia(media, profile, formats, mid))
    return tuple(others)


def _formats(local: LocalAudio) -> list[str]:
    lines = []
    for codec in local.codecs:
        channels = f"/{codec.channels}" if codec.channels > 1 else ""
        lines.append(f"a=rtpmap:{codec.payload_type} {written(codec.name)}/{codec.clock_rate_hz}{channels}")
        if codec.name == "opus":
            stereo = ";stereo=1;sprop-stereo=1" if local.stereo else ""
            lines.append(f"a=fmtp:{codec.payload_type} minptime={_MIN_PTIME_MS};useinbandfec={int(local.fec)}{stereo}")
    return lines


def _refusals(others: tuple[OtherMedia, ...]) -> list[str]:
    """Port 0 refuses a media line; it still has to be there."""
    lines = []
    for other in others:
        lines += [f"m={other.media} 0 {other.profile} {other.formats}", "c=IN IP4 0.0.0.0", "a=inactive"]
        if other.mid is not None:
            lines.append(f"a=mid:{other.mid}")
    return lines


def _sections(text: str) -> tuple[list[str], list[list[str]]]:
    session: list[str] = []
    sections: list[list[str]] = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line:
            continue
        if line.startswith("m="):
            sections.append([line])
        else:
            (sections[-1] if sections else session).append(line)
    return session, sections


def _attributes(lines: list[str]) -> dict[str, list[str]]:
    attributes: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            attributes.setdefault(name, []).append(value)
    return attributes


def _parse_audio(media: list[str], own: dict[str, list[str]], session: dict[str, list[str]]) -> RemoteAudio:
    profile = media[2]
    if profile not in _PROFILES:
        raise SdpError(f"m=audio: profile {profile[:40]!r} is not DTLS-SRTP, expected one of {sorted(_PROFILES)}")

    def first(name: str) -> str | None:
        return next(iter(own.get(name) or session.get(name) or ()), None)

    ufrag, pwd = first("ice-ufrag"), first("ice-pwd")
    if not ufrag or not pwd:
        raise SdpError("m=audio: a=ice-ufrag or a=ice-pwd is missing; the gateway must offer ICE")
    if max(len(ufrag), len(pwd)) > _MAX_ICE_CHARS:
        raise SdpError(f"m=audio: a=ice-ufrag or a=ice-pwd has more than {_MAX_ICE_CHARS} characters (RFC 8839 5.4)")
    fingerprints = tuple(
        Fingerprint(*value.split()[:2])
        for value in own.get("fingerprint") or session.get("fingerprint") or ()
        if len(value.split()) == 2
    )
    if not fingerprints:
        raise SdpError("m=audio: a=fingerprint is missing; the gateway must offer DTLS-SRTP")
    mid = first("mid")
    return RemoteAudio(
        profile=profile,
        codecs=_codecs(media[3:], own),
        ice_ufrag=ufrag,
        ice_pwd=pwd,
        fingerprints=fingerprints,
        candidates=tuple(own.get("candidate", ())),
        setup=(first("setup") or "").lower(),
        mid=mid,
        bundle=any(mid in group.split()[1:] for group in session.get("group", ()) if group.startswith("BUNDLE")),
        candidates_end="end-of-candidates" in own or "end-of-candidates" in session,
        ice_lite="ice-lite" in session or "ice-lite" in own,
        direction=next((name for name in (*own, *session) if name in MIRRORED), "sendrecv"),
        ptime=next(iter(own.get("ptime", ())), ""),
        maxptime=next(iter(own.get("maxptime", ())), ""),
    )


def _codecs(formats: list[str], own: dict[str, list[str]]) -> tuple[Codec, ...]:
    """The codecs of the m= line in its order; of static payload types without an rtpmap those that we know."""
    rtpmap = dict(_numbered(own.get("rtpmap", ())))
    fmtp = dict(_numbered(own.get("fmtp", ())))
    codecs = []
    for text in formats:
        if not text.isascii() or not text.isdigit() or len(text) > 3:
            continue
        payload_type = int(text)
        if payload_type not in rtpmap:
            if payload_type in STATIC:
                codecs.append(STATIC[payload_type])
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)/(\d{1,6})(?:/(\d{1,2}))?", rtpmap[payload_type].strip(), re.ASCII)
        if match is None or payload_type > 127:
            continue
        parameters = {}
        for part in fmtp.get(payload_type, "").split(";"):
            key, _, value = part.strip().partition("=")
            if key:
                parameters[key.lower()] = value
        name, rate, channels = match.groups()
        codecs.append(Codec(payload_type, name.lower(), int(rate), int(channels or 1), parameters))
    return tuple(codecs)


def _numbered(values: list[str] | tuple[str, ...]) -> list[tuple[int, str]]:
    pairs = []
    for value in values:
        number, _, rest = value.partition(" ")
        if number.isascii() and number.isdigit():
            pairs.append((int(number), rest))
    return pairs


def _default_address(candidates: tuple[str, ...]) -> tuple[str, int]:
    """RFC 8839 4.2.1.2: the address most likely to work, for peers that look at `c=` and `m=`."""
    preference = {"relay": 0, "srflx": 1, "host": 2}
    udp = [candidate.split() for candidate in candidates if candidate.split()[2].lower() == "udp"]
    ipv4_first = sorted(udp, key=lambda part: (preference.get(part[7], 3), ":" in part[4]))
    return (ipv4_first[0][4], int(ipv4_first[0][5])) if ipv4_first else ("0.0.0.0", 9)
