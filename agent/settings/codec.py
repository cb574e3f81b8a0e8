"""Codecs as a browser names them, and which of them the audio path speaks."""

from typing import Annotated

from pydantic import AfterValidator, Field

from agent.settings.base import Hint, PlainText, SeedModel

# By media type, with the clock rate of its RTP (RFC 3551 table 4, RFC 7587).
_KNOWN = {"audio/opus": 48000, "audio/g722": 8000, "audio/pcmu": 8000, "audio/pcma": 8000}


class CodecCapability(SeedModel):
    """An RTCRtpCodecCapability (W3C WebRTC 1.0)."""

    mimeType: Annotated[str, Field(pattern=r"^(audio|video)/[A-Za-z0-9._+-]+$"), Hint("text such as audio/opus")] = (
        Field(description="Media type, such as `audio/opus`.")
    )
    clockRate: int = Field(ge=1, le=768_000, description="Clock rate in Hz: 48000 for Opus.")
    channels: int | None = Field(default=None, ge=1, le=255, description="Number of channels: 2 for Opus.")
    sdpFmtpLine: PlainText | None = Field(default=None, description="Parameters of the codec's `a=fmtp` line.")


def codec_names(codecs: list[CodecCapability]) -> tuple[str, ...]:
    """Those that are known here, in the same order, by SDP's names in lower case."""
    known = [codec.mimeType.lower() for codec in codecs if _KNOWN.get(codec.mimeType.lower()) == codec.clockRate]
    return tuple(dict.fromkeys(media_type.partition("/")[2] for media_type in known))


def _some_known_codec(codecs: list[CodecCapability]) -> list[CodecCapability]:
    """A browser's list names codecs that no device needs; only a list without any of ours would make no call."""
    if any(codec.mimeType.lower().startswith("audio/") for codec in codecs) and not codec_names(codecs):
        known = ", ".join(f"{media_type} at {rate_hz}" for media_type, rate_hz in _KNOWN.items())
        raise ValueError(f"none of these codecs is known here: give at least one of {known}")
    return codecs


CodecList = Annotated[list[CodecCapability], AfterValidator(_some_known_codec)]
