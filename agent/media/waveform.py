"""The telephone's codecs, which know neither loss nor the sound card's rate: both are taken care of here."""

from __future__ import annotations

from array import array
from typing import Protocol

from agent.media.opus import MAX_PACKET_FRAMES, SAMPLE_BYTES, CodecError
from agent.media.resample import Resampler

MAX_PACKET_BYTES = 960  # 120 ms of 64 kbit/s, as long as Opus' longest
REPEAT_S = 0.02  # of the last sound is repeated: two or more periods of any voice
FADE_S = 0.06  # until a repeated sound is silent: longer it is a buzz (G.711 Appendix I fades out in 60 ms)


class Waveform(Protocol):
    """One of the codecs, at its own rate."""

    rate_hz: int

    def encode(self, samples: array[int]) -> bytes: ...

    def decode(self, payload: bytes) -> array[int]: ...


class WaveformEncoder:
    """`agent.media.codec.Encoder` around a waveform codec."""

    def __init__(self, codec: Waveform, ptime_ms: int, rate_hz: int, headroom: int = 0) -> None:
        frames = rate_hz * ptime_ms // 1000
        self.frame_bytes = frames * SAMPLE_BYTES
        self.samples = memoryview(bytearray(self.frame_bytes))
        self.packet = memoryview(bytearray(headroom + MAX_PACKET_BYTES))
        self._shorts = self.samples.cast("h")
        self._headroom = headroom
        self._codec = codec
        self._resampler = Resampler(rate_hz, codec.rate_hz)

    def encode(self) -> int:
        payload = self._codec.encode(self._resampler.process(self._shorts))
        length = len(payload)
        self.packet[self._headroom : self._headroom + length] = payload
        return length

    def set_packet_loss(self, percent: int) -> None:
        """Nothing can be done about it: there is no FEC."""

    def close(self) -> None:
        """Nothing to give back."""


class WaveformDecoder:
    """`agent.media.codec.Decoder` around a waveform codec; what is missing is the last sound, repeated and fading."""

    def __init__(self, codec: Waveform, rate_hz: int) -> None:
        self.samples = memoryview(bytearray(MAX_PACKET_FRAMES * SAMPLE_BYTES))
        self._shorts = self.samples.cast("h")
        self._codec = codec
        self._rate_hz = rate_hz
        self._resampler = Resampler(codec.rate_hz, rate_hz)
        self._repeat = round(REPEAT_S * codec.rate_hz)
        self._fade = round(FADE_S * codec.rate_hz)
        self._last = array("h", bytes(SAMPLE_BYTES))
        self._concealed = 0  # samples since the last packet

    def decode(self, packet: bytes) -> int:
        if len(packet) > MAX_PACKET_BYTES:
            raise CodecError(f"packet of {len(packet)} bytes, at most {MAX_PACKET_BYTES} are decoded")
        decoded = self._codec.decode(packet)
        self._last = (self._last + decoded)[-self._repeat :]
        self._concealed = 0
        return self._put(decoded)

    def decode_fec(self, _packet: bytes, frames: int) -> int:
        return self.conceal(frames)

    def conceal(self, frames: int) -> int:
        start, last, fade = self._concealed, self._last, self._fade
        self._concealed = end = start + frames * self._codec.rate_hz // self._rate_hz
        size = len(last)
        left = [max(fade - at, 0) for at in range(start, end)]
        return self._put(array("h", [last[(start + at) % size] * gain // fade for at, gain in enumerate(left)]))

    def close(self) -> None:
        """Nothing to give back."""

    def _put(self, decoded: array[int]) -> int:
        output = self._resampler.process(memoryview(decoded))
        frames = len(output)
        self._shorts[:frames] = memoryview(output)
        return frames
