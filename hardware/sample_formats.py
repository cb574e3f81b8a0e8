"""Between the sample formats of sound cards and ours (int16, one or two channels), by slicing bytes: no numpy needed.

A card's frame holds one sample for each of its channels, little endian. Our 16 bits are the upper 16 of its sample.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from hardware.pcm import BYTES_PER_SAMPLE


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


def from_card(frames: bytes, sample_format: SampleFormat, card_channels: int, channels: int) -> bytes:
    """What a card captured as int16 with `channels` (1 or 2).

    One channel of several is the first and not the mean: an I2S microphone board with one capsule leaves the other
    channel at zero, and the mean would cost 6 dB. Two of one are both the same.
    """
    if sample_format is S16_LE and card_channels == channels:
        return frames
    card_step, step = sample_format.sample_bytes * card_channels, BYTES_PER_SAMPLE * channels
    samples = bytearray(len(frames) // card_step * step)
    for channel in range(channels):
        card_at = sample_format.sample_bytes * min(channel, card_channels - 1) + sample_format.upper_offset
        at = BYTES_PER_SAMPLE * channel
        samples[at::step] = frames[card_at::card_step]
        samples[at + 1 :: step] = frames[card_at + 1 :: card_step]
    return bytes(samples)


def to_card(samples: bytes, sample_format: SampleFormat, card_channels: int, channels: int) -> bytes:
    """Int16 `samples` with `channels` (1 or 2) as a card's frames.

    A card with one channel plays the mean of two; one with more than ours plays ours on all of its channels in turn.
    """
    if channels > card_channels:
        samples, channels = mean_of_two(samples), 1
    if sample_format is S16_LE and card_channels == channels:
        return samples
    card_step, step = sample_format.sample_bytes * card_channels, BYTES_PER_SAMPLE * channels
    frames = bytearray(len(samples) // step * card_step)
    for channel in range(card_channels):
        card_at = sample_format.sample_bytes * channel + sample_format.upper_offset
        at = BYTES_PER_SAMPLE * (channel % channels)
        frames[card_at::card_step] = samples[at::step]
        frames[card_at + 1 :: card_step] = samples[at + 1 :: step]
    return bytes(frames)


def mean_of_two(samples: bytes) -> bytes:
    """Int16 of two channels mixed into one: (left + right) / 2, rounded down.

    All at once, as big integers: the mean of two unsigned numbers is what both have in common and half of what only
    one has, so no sum overflows into its neighbour; a flipped sign bit makes int16 unsigned.
    """
    both = memoryview(samples).cast("h")
    size = len(samples) // 2
    signs, halves = _masks(size)
    left = int.from_bytes(both[0::2].tobytes(), "little") ^ signs
    right = int.from_bytes(both[1::2].tobytes(), "little") ^ signs
    mean = (left & right) + (((left ^ right) & halves) >> 1)
    return (mean ^ signs).to_bytes(size, "little")


def doubled(samples: bytes) -> bytes:
    """Int16 of one channel on two."""
    return from_card(samples, S16_LE, 1, 2)


@functools.lru_cache(maxsize=4)  # a call's periods are all of one length
def _masks(size_bytes: int) -> tuple[int, int]:
    """For `mean_of_two`: the sign bit of every sample, and all bits but the lowest."""
    count = size_bytes // BYTES_PER_SAMPLE
    return int.from_bytes(b"\x00\x80" * count, "little"), int.from_bytes(b"\xfe\xff" * count, "little")
