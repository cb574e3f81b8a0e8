"""Sound: which devices, which numbers instead of the profile's, and how Opus is encoded."""

from typing import Annotated, Literal

from pydantic import Field

from agent.settings.base import FilledText, Hint, SettingsModel

AUTO_PROFILE = "auto"  # chosen by the sound cards that are found
Device = Annotated[FilledText, Hint("name of an ALSA device such as plughw:1,0")]


class OpusConfig(SettingsModel):
    """Encoder settings (RFC 6716, RFC 7587)."""

    bitrate_bps: int = Field(default=32000, ge=6000, le=510_000, description="Bit rate in bit/s, while all is well.")
    complexity: int = Field(default=5, ge=0, le=10, description="0 takes the least processor time, 10 sounds best.")
    fec: bool = Field(default=True, description="In-band forward error correction.")
    packet_loss_percent: int = Field(
        default=10,
        ge=0,
        le=100,
        description="Loss that the error correction is made for, at the least; with `adapt` there is none while "
        "nothing gets lost. Below 6, Opus makes none at 32 kbit/s.",
    )
    dtx: bool = Field(default=False, description="Send next to nothing while nobody speaks.")
    ptime_ms: Literal[10, 20, 40, 60] = Field(
        default=20, description="Audio per packet, in milliseconds, where the far end does not ask for another."
    )
    adapt: bool = Field(
        default=True,
        description="Follow what the far end reports: more error correction where packets are lost, fewer bits and "
        "then longer packets where the network is congested.",
    )
    min_bitrate_bps: int = Field(
        default=12000, ge=6000, le=510_000, description="What `adapt` may lower the bit rate to, in bit/s."
    )
    max_ptime_ms: Literal[10, 20, 40, 60] = Field(
        default=60, description="What `adapt` may lengthen packets to, in milliseconds."
    )


class AudioConfig(SettingsModel):
    """The sound card. What is not set comes from the profile."""

    profile: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$"), Hint('a profile\'s name or "auto"')] = Field(
        default=AUTO_PROFILE,
        description='Name of the sound card\'s profile, also of your own in `/etc/callpoint/profiles.d/`; `"auto"` '
        "picks it by the card that is found.",
    )
    capture: Device | None = Field(default=None, description="Microphone: an ALSA device.")
    playback: Device | None = Field(default=None, description="Speaker: an ALSA device.")
    rate_hz: Literal[8000, 12000, 16000, 24000, 48000] | None = Field(
        default=None, description="Sample rate of the sound card, one that Opus works at."
    )
    # What a second is a whole number of: the sound is made in whole periods.
    period_ms: Literal[2, 4, 5, 8, 10, 20, 25, 40, 50] | None = Field(
        default=None, description="The sound card wakes the daemon this often."
    )
    periods: int | None = Field(
        default=None,
        ge=3,
        le=32,
        description="Size of the card's buffer in periods: slack for delays, no delay itself.",
    )
    fill_ms: int | None = Field(
        default=None,
        ge=2,
        le=500,
        description="Sound kept written ahead for the speaker, in milliseconds: this is delay. More than one period, "
        "and at most one less than `periods`.",
    )
    jitter_min_ms: int = Field(
        default=10,
        ge=0,
        le=200,
        description="Least time in milliseconds that sound waits for late packets: this is delay.",
    )
    jitter_max_ms: int = Field(
        default=200,
        ge=20,
        le=400,
        description="Longest such wait; in between it follows the network.",
    )
    opus: OpusConfig = Field(default=OpusConfig(), description="How Opus is encoded.")
    tones: Literal["etsi", "us"] = Field(
        default="etsi", description="Ringback, busy and error tones as in Europe (ETSI TR 101 041) or North America."
    )
    tone_volume_db: float = Field(
        default=0.0, ge=-40, le=12, description="How much louder all tones are than planned; below 0: softer."
    )
    cues: bool = Field(
        default=True,
        description="Short sounds when a call is answered and when the far end hangs up, and for some seconds the busy "
        "or error tone when a call fails.",
    )
    echo_canceller: Literal["auto", "off", "cascade", "aec3", "linear", "half_duplex"] = Field(
        default="auto",
        description='What keeps the far end from hearing itself; `"off"` for speakerphones that do it themselves.',
    )
    noise_suppression: Literal["auto", "off", "low", "moderate", "high", "very_high"] = Field(
        default="auto", description="How far steady noise is turned down: 6, 12, 18 or 21 dB."
    )
    gain_control: bool | None = Field(default=None, description="Level out loud and quiet voices.")
    detect_dtmf: bool = Field(
        default=False,
        description="Listen for DTMF tones in the far end's sound, for gateways that do not signal digits.",
    )
