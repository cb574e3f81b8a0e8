"""Between the sample formats of sound cards and ours (int16 mono), by slicing bytes: no numpy needed.

A card's frame holds one sample for each channel, little endian. Our 16 bits are the upper 16 of its sample.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SampleFormat:
    """One of ALSA's formats: bytes of a sample, and where its upper 16 bits begin."""

    name: str
    sample_bytes: int
    upper_offset: int


S16_LE = SampleFormat("S16_LE", 2, 0)
S24_LE = SampleFormat("S24_LE", 4, 1)  # 24 bits in the lower three of four bytes
S24_3LE = SampleFormat("S24_3LE", 3, 1)
S32_LE = SampleFormat("S32_LE", 4, 2)
FORMATS = {each.name: each for each in (S16_LE, S24_LE, S24_3LE, S32_LE)}


def to_mono(frames: bytes, sample_format: SampleFormat, channels: int) -> bytes:
    """Channel 0 of interleaved `frames` as int16.

    The first channel and not the mean: an I2S microphone board with one capsule leaves the other channel at zero,
    and the mean would cost 6 dB.
    """
    if sample_format is S16_LE and channels == 1:
        return frames
    frame_bytes = sample_format.sample_bytes * channels
    mono = bytearray(len(frames) // frame_bytes * 2)
    mono[0::2] = frames[sample_format.upper_offset :: frame_bytes]
    mono[1::2] = frames[sample_format.upper_offset + 1 :: frame_bytes]
    return bytes(mono)


def from_mono(samples: bytes, sample_format: SampleFormat, channels: int) -> bytes:
    """Int16 mono `samples` on every channel of interleaved frames."""
    if sample_format is S16_LE and channels == 1:
        return samples
    frame_bytes = sample_format.sample_bytes * channels
    frames = bytearray(len(samples) // 2 * frame_bytes)
    low, high = samples[0::2], samples[1::2]
    for channel in range(channels):
        at = channel * sample_format.sample_bytes + sample_format.upper_offset
        frames[at::frame_bytes] = low
        frames[at + 1 :: frame_bytes] = high
    return bytes(frames)
