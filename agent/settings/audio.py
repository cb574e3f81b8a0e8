"""Sound: which devices, which numbers instead of the profile's, and how Opus is encoded."""

from typing import Annotated, Literal

from pydantic import Field

from agent.settings.base import FilledText, Hint, SettingsModel

AUTO_PROFILE = "auto"  # chosen by the sound cards that are found
Device = Annotated[FilledText, Hint("name of an ALSA device such as plughw:1,0")]


class OpusConfig(SettingsModel):
    """Encoder settings (RFC 6716, RFC 7587)."""

    bitrate_bps: int = Field(default=32000, ge=6000, le=510_000, description="Bit rate in bit/s.")
    complexity: int = Field(default=5, ge=0, le=10, description="0 takes the least processor time, 10 sounds best.")
    fec: bool = Field(default=True, description="In-band forward error correction.")
    packet_loss_percent: int = Field(default=5, ge=0, le=100, description="Loss that the error correction is made for.")
    dtx: bool = Field(default=False, description="Send next to nothing while nobody speaks.")
    ptime_ms: Literal[10, 20, 40, 60] = Field(default=20, description="Audio per packet, in milliseconds.")


class AudioConfig(SettingsModel):
    """The sound card. What is not set comes from the profile."""

    profile: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$"), Hint('a profile\'s name or "auto"')] = Field(
        default=AUTO_PROFILE,
        description='Name of the sound card\'s profile; `"auto"` picks it by the card that is found.',
    )
    capture: Device | None = Field(default=None, description="Microphone: an ALSA device.")
    playback: Device | None = Field(default=None, description="Speaker: an ALSA device.")
    rate_hz: Literal[8000, 12000, 16000, 24000, 48000] | None = Field(
        default=None, description="Sample rate of the sound card, one that Opus works at."
    )
    period_ms: int | None = Field(default=None, ge=2, le=60, description="The sound card wakes the daemon this often.")
    periods: int | None = Field(
        default=None,
        ge=2,
        le=32,
        description="Size of the card's buffer in periods: slack for delays, no delay itself.",
    )
    fill_ms: int | None = Field(
        default=None,
        ge=2,
        le=500,
        description="Sound kept written ahead for the speaker, in milliseconds: this is delay.",
    )
    jitter_target_ms: int = Field(
        default=20, ge=0, le=500, description="Sound kept waiting for late packets, in milliseconds: this is delay."
    )
    opus: OpusConfig = Field(default=OpusConfig(), description="How Opus is encoded.")
    tones: Literal["etsi", "us"] = Field(
        default="etsi", description="Ringback, busy and error tones as in Europe (ETSI TR 101 041) or North America."
    )
    detect_dtmf: bool = Field(
        default=False,
        description="Listen for DTMF tones in the far end's sound, for gateways that do not signal digits.",
    )
