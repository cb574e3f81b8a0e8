"""The telephone's codecs, which know neither loss nor the sound card's rate: both are taken care of here."""

from __future__ import annotations

from array import array
from typing import Protocol

from agent.media.codecs.continuation import Continuation
from agent.media.codecs.opus import MAX_PACKET_FRAMES, SAMPLE_BYTES, CodecError
from agent.media.codecs.resample import Resampler

MAX_PACKET_BYTES = 960  # 120 ms of 64 kbit/s, as long as Opus' longest


class Waveform(Protocol):
    """One of the codecs, at its own rate."""

    rate_hz: int

    def encode(self, samples: array[int]) -> bytes: ...

    def decode(self, payload: bytes) -> array[int]: ...


class WaveformEncoder:
    """`agent.media.codecs.codec.Encoder` around a waveform codec; two channels are mixed to one."""

    def __init__(self, codec: Waveform, ptime_ms: int, rate_hz: int, headroom: int = 0, channels: int = 1) -> None:
        self._rate_hz, self._channels = rate_hz, channels
        self.packet = memoryview(bytearray(headroom + MAX_PACKET_BYTES))
        self._headroom = headroom
        self._codec = codec
        self._resampler = Resampler(rate_hz, codec.rate_hz)
        self.set_ptime(ptime_ms)

    def encode(self) -> int:
        samples = self._shorts if self._channels == 1 else memoryview(mixed_down(self._shorts))
        payload = self._codec.encode(self._resampler.process(samples))
        length = len(payload)
        self.packet[self._headroom : self._headroom + length] = payload
        return length

    def set_ptime(self, ptime_ms: int) -> None:
        self.frame_bytes = self._rate_hz * ptime_ms // 1000 * self._channels * SAMPLE_BYTES
        self.samples = memoryview(bytearray(self.frame_bytes))
        self._shorts = self.samples.cast("h")

    def set_bitrate(self, bitrate_bps: int) -> None:
        """Nothing can be done about it: there is one only."""

    def set_packet_loss(self, percent: int) -> None:
        """Nothing can be done about it: there is no FEC."""

    def close(self) -> None:
        """Nothing to give back."""


def mixed_down(stereo: memoryview) -> array[int]:
    """The mean of two interleaved channels of int16."""
    return array("h", [left + right >> 1 for left, right in zip(stereo[::2], stereo[1::2], strict=True)])


class WaveformDecoder:
    """`agent.media.codecs.codec.Decoder` around a waveform codec; what is missing is continued at the
    voice's pitch, for a while."""

    def __init__(self, codec: Waveform, rate_hz: int, channels: int = 1) -> None:
        self.samples = memoryview(bytearray(MAX_PACKET_FRAMES * channels * SAMPLE_BYTES))
        self._shorts = self.samples.cast("h")
        self._codec = codec
        self._rate_hz = rate_hz
        self._channels = channels
        self._resampler = Resampler(codec.rate_hz, rate_hz)
        self._continuation = Continuation(codec.rate_hz)

    def decode(self, packet: bytes) -> int:
        if len(packet) > MAX_PACKET_BYTES:
            raise CodecError(f"packet of {len(packet)} bytes, at most {MAX_PACKET_BYTES} are decoded")
        return self._put(self._continuation.heard(self._codec.decode(packet)))

    def decode_fec(self, _packet: bytes, frames: int) -> int:
        return self.conceal(frames)

    def conceal(self, frames: int) -> int:
        return self._put(self._continuation.conceal(frames * self._codec.rate_hz // self._rate_hz))

    def close(self) -> None:
        """Nothing to give back."""

    def _put(self, decoded: array[int]) -> int:
        output = self._resampler.process(memoryview(decoded))
        frames, channels = len(output), self._channels
        for channel in range(channels):  # the same in each
            self._shorts[channel : frames * channels : channels] = memoryview(output)
        return frames
