"""What the control process and the media process say to each other, and what the control side tells the daemon.

How it travels is in `agent.media.wire`. Keys are never part of a repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

AudioPart = Literal["microphone", "speaker"]


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
    channels: int = 1  # 2: captured, coded, decoded and played in stereo where the device and the far end have it
    tone_plan: str = "etsi"
    tone_volume_db: float = 0.0  # above (or below) what the plan says
    echo_canceller: str = "off"  # one of `agent.media.voice.echo.STAGES`; where the board lacks it, the next best
    noise_suppression: str = "off"  # "low" | "moderate" | "high" | "very_high": 6, 12, 18, 21 dB
    gain_control: bool = False
    one_clock: bool = False  # microphone and speaker run on one clock
    speaker_percent: int = 100  # our own volumes (`agent.media.volume`), for cards that have none
    microphone_percent: int = 100


def voice_wanted(setup: AudioSetup) -> bool:
    """Whether a call's microphone goes through `agent.media.voice`."""
    voice = (setup.echo_canceller, setup.noise_suppression, setup.gain_control)
    return bool(setup.capture) and voice != ("off", "off", False)


@dataclass(frozen=True)
class OpusSetup:
    """Encoder settings (RFC 6716, RFC 7587) while all is well. `packet_loss_percent` is what in-band FEC is dimensioned
    for; `ptime_ms` counts for every codec. With `adapt` they follow the far end's reports: the bit rate down to
    `min_bitrate_bps`, frames up to `max_ptime_ms`."""

    bitrate_bps: int = 32000
    complexity: int = 5
    fec: bool = True
    packet_loss_percent: int = 10  # below 6, libopus makes no FEC at 32 kbit/s
    dtx: bool = False
    ptime_ms: int = 20
    channels: int = 1  # that are coded: 2 only where the far end's fmtp says stereo=1
    cbr: bool = False
    max_playback_rate_hz: int = 48000  # what the far end can play: a wider band would be for nothing
    adapt: bool = True
    min_bitrate_bps: int = 12000
    max_ptime_ms: int = 60


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
    jitter_min_ms: int = 10  # the jitter buffer's delay follows the network in between
    jitter_max_ms: int = 200
    codec: str = "opus"  # a name of `agent.media.codecs.codec.FORMATS`, both ways
    dtmf_payload_type: int | None = None
    remote_dtmf_payload_type: int | None = None
    dtmf_clock_hz: int | None = None
    receive_only: bool = False
    other_codecs: dict[str, int] = field(default_factory=dict)  # that may come as well, by remote payload type
    rtcp_minimum_s: float = 1.0  # between two reports: RFC 3550's 5 s where the profile has no feedback


@dataclass(frozen=True)
class TransportSetup:
    """Where packets go. `remote` is None when the descriptor is one end of a socketpair (a relayed ICE pair).

    `sources` are the further addresses at which ICE has found the far end: RTP of any other is refused.
    """

    remote: tuple[str, int] | None
    keys: SrtpKeys
    rtp: RtpSetup
    opus: OpusSetup = OpusSetup()
    sources: tuple[tuple[str, int], ...] = ()


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
    packets_refused: int = 0  # from where ICE has not found the far end: somebody else's
    packets_duplicated: int = 0  # came once more, and were left alone
    stream_restarts: int = 0  # another source, or sequence numbers anew
    send_errors: int = 0  # packets that the network of this device did not take
    dtmf_sent: int = 0  # digits
    dtmf_received: int = 0
    capture_xruns: int = 0
    playback_xruns: int = 0
    playback_dropped_frames: int = 0  # of the card's rate: they found its queue full
    playback_corrections: int = 0  # periods made shorter or longer: microphone and speaker clocks differ
    jitter_ms: float = 0.0  # RFC 3550 6.4.1, of what we receive
    jitter_buffer_ms: float = 0.0  # audio waiting in the jitter buffer now
    jitter_target_ms: float = 0.0  # that the network asks for at present
    playout_delay_ms: float = 0.0  # mean from network to speaker queue in the last second
    inserted_frames: int = 0  # of 48 kHz, in all, by stretching
    removed_frames: int = 0
    jitter_buffer_delay_s: float = 0.0  # W3C: sum over all emitted frames
    jitter_buffer_emitted_frames: int = 0
    round_trip_ms: float | None = None  # from the far end's receiver reports
    remote_loss_percent: float | None = None
    capture_dbfs: float = -127.0  # RMS of the last second
    playback_dbfs: float = -127.0
    seconds_since_packet: float | None = None  # None before the first packet
    erle_db: float | None = None  # the echo's loss in the canceller (ITU-T G.168), measured
    echo_delay_ms: float | None = None  # from the write to the speaker to the echo's return
    echo_stage: str = ""  # the canceller at work, empty where the call has none
    bitrate_bps: int = 0  # what the encoder aims at now; with ptime_ms and fec_percent: EncoderControl
    ptime_ms: int = 0
    fec_percent: int = 0  # the loss that FEC is made for, 0 without


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
    part: AudioPart


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
