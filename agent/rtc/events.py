"""What a peer is told before a call, and what it tells during one.

PeerSettings ─▶ AudioPeer ─▶ LocalCandidate.. CandidatesEnd   (trickle only)
                          ─▶ Connected(Handover)              (after each successful start or restart, and where
                                                               the far end's address has changed)
                          ─▶ SourceFound                      (it has another one besides)
                          ─▶ Disturbed ─▶ Restored            (consent, RFC 7675)
                          ─▶ RestartFailed                    (the old path goes on)
                          ─▶ Failed                           (final)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aiortc import RTCIceServer


class NoPath(Exception):  # noqa: N818  a state of the network, not a fault
    """This side has no address to talk from. `str()` is one sentence that says what helps."""


@dataclass(frozen=True)
class PeerSettings:
    """How a peer connects. `loopback` adds a candidate on 127.0.0.1, for a gateway that lives there."""

    ice_servers: tuple[RTCIceServer, ...] = field(default=(), repr=False)
    relay_only: bool = False
    loopback: bool = False
    ptime_ms: int = 20
    fec: bool = True
    codecs: tuple[str, ...] = ("opus", "pcmu", "pcma")  # names of `codecs.CODECS`, best first
    bandwidth_kbps: int | None = None  # b=AS: neither side sends more, IP and UDP included
    trickle: bool = False  # descriptions leave without candidates, which follow one by one (RFC 8838)
    receive_only: bool = False  # there is no microphone: nothing but RTCP is sent
    stereo: bool = False  # Opus in two channels (RFC 7587 6.1 stereo, sprop-stereo)
    dtmf: bool = True  # telephone-event (RFC 4733) beside the audio codecs


@dataclass(frozen=True)
class Handover:
    """All that is needed to speak RTP to the far end. `fd` stays owned by the peer: duplicate it."""

    fd: int
    remote: tuple[str, int] | None  # None: `fd` is connected (a relayed pair's socketpair)
    srtp_profile: str
    tx_key: bytes = field(repr=False)
    rx_key: bytes = field(repr=False)
    ssrc: int
    cname: str
    payload_type: int  # what we send
    remote_payload_type: int  # what we are sent
    ptime_ms: int
    fec: bool
    max_bitrate_bps: int | None
    max_ptime_ms: int | None = None  # None: the far end has not said what it takes
    max_playback_rate_hz: int | None = None
    dtx: bool | None = None  # what the far end prefers, None: nothing
    cbr: bool = False
    feedback: bool = True  # of the profile (RFC 4585): reports may come sooner than every 5 s
    codec: str = "opus"  # a name of `codecs.CODECS`, both ways
    dtmf_payload_type: int | None = None  # telephone-event that we send; None: it was not agreed
    remote_dtmf_payload_type: int | None = None  # telephone-event that we are sent
    sends: bool = True  # what both directions leave us (RFC 3264 6.1): may we send audio,
    receives: bool = True  # and will the far end
    stereo: bool = False  # both sides want two channels
    other_codecs: dict[str, int] = field(default_factory=dict)  # that we may be sent as well, by payload type
    sources: tuple[tuple[str, int], ...] = ()  # where else than at `remote` ICE has found the far end


@dataclass(frozen=True)
class LocalCandidate:
    """An address of this side, found while trickling. `candidate` begins with "candidate:" (telnyx-rtc.md 2.9)."""

    candidate: str
    mid: str
    mline_index: int


@dataclass(frozen=True)
class CandidatesEnd:
    """There will be no more `LocalCandidate` of the description given last."""


@dataclass(frozen=True)
class PathKind:
    """How the packets travel: ICE candidate types (RFC 8445) and transport, no addresses."""

    local: str  # "host", "srflx", "prflx" or "relay", as in a=candidate
    remote: str
    protocol: str  # "udp" or "tcp"


@dataclass(frozen=True)
class Connected:
    """Media may flow: for the first time, or over another path after a restart. Keys and `ssrc` of a later one are
    those of the former unless the far end made a new DTLS association."""

    handover: Handover
    pair: str  # for the journal: candidate types and the far end's address
    path: PathKind | None = None
    only_host: bool = False  # no STUN or TURN server has given this side a candidate


@dataclass(frozen=True)
class SourceFound:
    """ICE has found the far end at another address too: its audio may come from there.

    `moved`: it does not answer at the former one any more. A peer tells that as `Connected`.
    """

    address: tuple[str, int]
    moved: bool = False


@dataclass(frozen=True)
class Disturbed:
    """The far end has not answered consent checks for `consent.CONSENT_LOST_S`. The path may come back."""

    text: str


@dataclass(frozen=True)
class Restored:
    """The far end answers again, over the same path."""


@dataclass(frozen=True)
class RestartFailed:
    """An ICE restart came to nothing. The call goes on over the former path, if that still works."""

    text: str


@dataclass(frozen=True)
class Failed:
    """The connection cannot be made, or was lost. `text` is one sentence for a person.

    `was_connected` tells a far end that went (its BYE may still be on the way) from one never reached.
    """

    text: str
    was_connected: bool = False


PeerEvent = LocalCandidate | CandidatesEnd | Connected | SourceFound | Disturbed | Restored | RestartFailed | Failed
