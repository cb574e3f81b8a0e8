"""What the control process and the media process say to each other, and what the control side tells the daemon.

How it travels is in `agent.media.wire`. Keys are never part of a repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class SrtpKeys:
    """Exported by RFC 5764: master key followed by master salt, for each direction."""

    profile: str  # "SRTP_AEAD_AES_256_GCM" | "SRTP_AEAD_AES_128_GCM" | "SRTP_AES128_CM_SHA1_80"
    tx: bytes = field(repr=False)
    rx: bytes = field(repr=False)


@dataclass(frozen=True)
class AudioSetup:
    """Which sound devices a call uses, and how. Strings are those of `hardware.devices`.

    Without a microphone (`capture` is empty) nothing is sent but RTCP, and the speaker is the clock. `sidetone` is
    where one hears oneself: the speaker itself when it has the same name; `record` takes what the far end says as
    well. Both may be empty. `tone_plan` is one of `agent.media.tones.PLANS`.
    """

    capture: str
    playback: str
    rate_hz: int = 48000
    period_frames: int = 480  # one wake-up each: 10 ms
    periods: int = 4  # slack for xruns, costs no delay
    fill_frames: int = 960  # what is kept written ahead on the playback side; this is delay
    sidetone: str = ""
    record: str = ""
    detect_dtmf: bool = False  # digits in the sound that comes; those of RFC 4733 are told always
    channels: int = 1  # 2 was asked for: what is sent is mono all the same, and the journal says so
    tone_plan: str = "etsi"


@dataclass(frozen=True)
class OpusSetup:
    """Encoder settings (RFC 6716, RFC 7587). `packet_loss_percent` is what in-band FEC is dimensioned for; `ptime_ms`
    counts for every codec."""

    bitrate_bps: int = 32000
    complexity: int = 5
    fec: bool = True
    packet_loss_percent: int = 5
    dtx: bool = False
    ptime_ms: int = 20


@dataclass(frozen=True)
class RtpSetup:
    """One audio stream each way. `remote_payload_type` is what we receive, `payload_type` what we send.

    `dtmf_payload_type` and its remote twin are telephone-event's (RFC 4733), None where it was not agreed on;
    `dtmf_clock_hz` is its clock, None when that is the audio codec's. With `receive_only` no RTP leaves.
    """

    ssrc: int
    payload_type: int
    remote_payload_type: int
    cname: str
    jitter_target_ms: int = 20
    codec: str = "opus"  # a name of `agent.media.codec.FORMATS`, both ways
    dtmf_payload_type: int | None = None
    remote_dtmf_payload_type: int | None = None
    dtmf_clock_hz: int | None = None
    receive_only: bool = False


@dataclass(frozen=True)
class TransportSetup:
    """Where packets go. `remote` is None when the descriptor is one end of a socketpair (a relayed ICE pair)."""

    remote: tuple[str, int] | None
    keys: SrtpKeys
    rtp: RtpSetup
    opus: OpusSetup = OpusSetup()


@dataclass
class MediaStats:
    """One second of a call as the media process counted it. Counters are totals since the call's start."""

    codec: str = ""  # empty before there is a path
    packets_sent: int = 0
    bytes_sent: int = 0  # RTP payload, without headers, as W3C's bytesSent
    packets_received: int = 0
    bytes_received: int = 0
    packets_lost: int = 0  # RFC 3550: expected minus received
    packets_late: int = 0  # came after their place was played
    packets_dropped: int = 0  # came in time and were left out, to take back delay
    concealed_frames: int = 0
    fec_frames: int = 0
    auth_failures: int = 0
    dtmf_sent: int = 0  # digits
    dtmf_received: int = 0
    capture_xruns: int = 0
    playback_xruns: int = 0
    playback_corrections: int = 0  # periods left out or played twice: microphone and speaker clocks differ
    jitter_ms: float = 0.0  # RFC 3550 6.4.1, of what we receive
    jitter_buffer_ms: float = 0.0  # audio waiting in the jitter buffer now
    round_trip_ms: float | None = None  # from the far end's receiver reports
    remote_loss_percent: float | None = None
    capture_dbfs: float = -127.0  # RMS of the last second
    playback_dbfs: float = -127.0
    seconds_since_packet: float | None = None  # None before the first packet


@dataclass(frozen=True)
class MediaReady:
    """The media process runs; after `MediaDied` it has the call again when there is one."""


@dataclass(frozen=True)
class MediaDied:
    """The media process is gone and is being started again. Until `MediaReady` nobody reads the call's socket."""

    restarts: int  # how many times so far


@dataclass(frozen=True)
class AudioOpened:
    """Microphone and speaker are open, for the first time or again after `AudioFailed`."""

    rate_hz: int
    period_frames: int


@dataclass(frozen=True)
class AudioFailed:
    """A sound device cannot be opened or has gone. The call goes on in silence; it is tried again every second."""

    text: str


@dataclass(frozen=True)
class StatsReport:
    """Once a second while audio is open."""

    stats: MediaStats


@dataclass(frozen=True)
class Datagram:
    """Came on the call's socket and is not RTP: STUN or DTLS. `addr` is None on a socketpair."""

    data: bytes = field(repr=False)
    addr: tuple[str, int] | None


@dataclass(frozen=True)
class DtmfReceived:
    """The far end has pressed a key: told once, when it begins (RFC 4733), or when it is certain (in-band)."""

    digit: str  # one of 0-9 * # A-D
    source: Literal["rfc4733", "inband"]


MediaEvent = MediaReady | MediaDied | AudioOpened | AudioFailed | StatsReport | Datagram | DtmfReceived
