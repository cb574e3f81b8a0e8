"""What an Opus packet's first bytes tell of the FEC that it carries; anything at all may stand there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.media.codecs.opus import Encoder, packet_frames
from agent.media.coding import fec_frames
from tests.media.call_model import speech


def packets(ptime_ms: int, bitrate_bps: int, fec_percent: int) -> list[bytes]:
    encoder, microphone = Encoder(ptime_ms), speech(4.0)
    encoder.set_bitrate(bitrate_bps)
    encoder.set_fec(fec_percent > 0)
    encoder.set_packet_loss(fec_percent)
    made, step = [], ptime_ms * 48
    for at in range(0, microphone.size - step + 1, step):
        encoder.samples[:] = microphone[at : at + step].tobytes()
        made.append(bytes(encoder.packet[: encoder.encode()]))
    return made


@pytest.mark.parametrize(
    ("ptime_ms", "bitrate_bps", "frames"),
    [(10, 32000, 480), (20, 32000, 960), (40, 24000, 1920), (40, 32000, 960), (60, 24000, 2880), (60, 32000, 960)],
)
def test_fec_is_as_long_as_an_opus_frame(ptime_ms: int, bitrate_bps: int, frames: int) -> None:
    with_fec = [fec_frames(packet) for packet in packets(ptime_ms, bitrate_bps, 10)]
    assert set(with_fec) == {0, frames}  # none in pauses, and in the first packet
    assert np.mean(with_fec) > 0.7 * frames
    assert {fec_frames(packet) for packet in packets(ptime_ms, bitrate_bps, 0)} == {0}


FRAME = b"\xff\xff"  # all flags set, whatever they are


@pytest.mark.parametrize(
    ("packet", "frames"),
    [
        (b"\x78" + FRAME, 960),  # hybrid, 20 ms: one frame
        (b"\x79" + 2 * FRAME, 960),  # two of the same size
        (b"\x7a\x02" + 2 * FRAME, 960),  # two, the first one's length in a byte
        (b"\x7a\xfc\x01" + 128 * FRAME + FRAME, 960),  # in two
        (b"\x7a\x01\xff" + FRAME, 0),  # the first too short for flags
        (b"\x7b\x03" + 3 * FRAME, 960),  # three of the same size
        (b"\x7b\x43\x01" + 3 * FRAME + b"\0", 960),  # padded
        (b"\x7b\x83\x02\x02" + 3 * FRAME, 960),  # three, each length told
        (b"\x7b\xc3\xff\x01\x02\x02" + 3 * FRAME + bytes(255), 960),  # both
        (b"\xf8" + FRAME, 0),  # no SILK layer
        (b"\x7b\x83\xfc", 0),  # cut off
    ],
)
def test_the_first_frame_is_found_however_a_packet_is_laid_out(packet: bytes, frames: int) -> None:
    assert fec_frames(packet) == frames


@given(st.binary(max_size=40))
def test_no_packet_raises_or_promises_more_than_libopus_can_decode(packet: bytes) -> None:
    frames = fec_frames(packet)
    assert frames in {0, 480, 960, 1920, 2880}
    assert not frames or not packet_frames(packet) or packet_frames(packet) % frames == 0
