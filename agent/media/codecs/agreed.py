"""The codec that a call has agreed on, ready to use. What a call does not use is not imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.media.codecs.codec import format_of
from agent.media.codecs.opus import Decoder as OpusDecoder
from agent.media.codecs.opus import Encoder as OpusEncoder

if TYPE_CHECKING:
    from agent.media.codecs.codec import Decoder, Encoder
    from agent.media.codecs.waveform import Waveform
    from agent.media.messages import OpusSetup


def make_encoder(codec: str, opus: OpusSetup, rate_hz: int, headroom: int, channels: int = 1) -> Encoder:
    """`codec` is a name of `codec.FORMATS`; `opus.ptime_ms` counts for all. The input has `channels`, of which Opus
    codes as many as `opus.channels` says, and the others one. Raises CodecError."""
    if codec != "opus":
        from agent.media.codecs.waveform import WaveformEncoder  # noqa: PLC0415 - most calls speak Opus

        return WaveformEncoder(_waveform(codec), opus.ptime_ms, rate_hz, headroom, channels)
    encoder = OpusEncoder(opus.ptime_ms, rate_hz, headroom, channels)
    if opus.channels < channels:
        encoder.set_mono()
    encoder.set_bitrate(opus.bitrate_bps)
    encoder.set_complexity(opus.complexity)
    encoder.set_fec(opus.fec)
    encoder.set_packet_loss(opus.packet_loss_percent)
    encoder.set_dtx(opus.dtx)
    encoder.set_cbr(opus.cbr)
    encoder.set_max_playback_rate(opus.max_playback_rate_hz)
    return encoder


def make_decoder(codec: str, rate_hz: int, channels: int = 1) -> Decoder:
    """A decoder to the device's rate and channels. Raises CodecError."""
    if codec == "opus":
        return OpusDecoder(rate_hz, channels)
    from agent.media.codecs.waveform import WaveformDecoder  # noqa: PLC0415 - most calls speak Opus

    return WaveformDecoder(_waveform(codec), rate_hz, channels)


def _waveform(codec: str) -> Waveform:
    format_of(codec)
    if codec == "g722":
        from agent.media.codecs.g722 import G722  # noqa: PLC0415 - most calls speak Opus

        return G722()
    from agent.media.codecs.g711 import G711  # noqa: PLC0415 - most calls speak Opus

    return G711(codec)
