import ctypes

import numpy as np
import pytest

from agent.media.codecs.opus import CLOCK_RATE_HZ, Decoder, Encoder, OpusError, library, packet_frames
from tests.media.call_model import speech

FRAME = 960


def encode_all(encoder: Encoder, samples: np.ndarray) -> list[bytes]:
    step = encoder.frame_bytes // 2
    packets = []
    for at in range(0, len(samples) - step + 1, step):
        encoder.samples[:] = samples[at : at + step].tobytes()
        packets.append(bytes(encoder.packet[: encoder.encode()]))
    return packets


def fec_encoder(percent: int = 20) -> Encoder:
    encoder = Encoder(20)
    encoder.set_bitrate(32000)
    encoder.set_fec(True)
    encoder.set_packet_loss(percent)
    return encoder


def test_fec_recovers_a_lost_frame_better_than_concealment() -> None:
    samples = speech(4)
    packets = encode_all(fec_encoder(), samples)

    def decode(*, lost: bool, fec: bool) -> np.ndarray:
        decoder, heard = Decoder(), []
        for number, packet in enumerate(packets):
            if lost and number % 10 == 5:
                done = decoder.decode_fec(packets[number + 1], FRAME) if fec else decoder.conceal(FRAME)
            else:
                done = decoder.decode(packet)
            heard.append(np.frombuffer(bytes(decoder.samples[: 2 * done]), np.int16).astype(float))
        return np.array([frame for number, frame in enumerate(heard) if number % 10 == 5])

    whole = decode(lost=False, fec=False)
    concealed_error = np.mean((decode(lost=True, fec=False) - whole) ** 2)
    rebuilt_error = np.mean((decode(lost=True, fec=True) - whole) ** 2)
    assert rebuilt_error < concealed_error / 3


def test_settings_change_while_encoding() -> None:
    samples = speech(3)
    encoder = Encoder(20)
    encoder.set_bitrate(12000)
    small = sum(map(len, encode_all(encoder, samples)))
    encoder.set_bitrate(64000)
    encoder.set_complexity(1)
    encoder.set_signal("music")
    large = sum(map(len, encode_all(encoder, samples)))
    assert large > 3 * small
    encoder.set_dtx(True)
    encoder.set_signal("voice")
    quiet = encode_all(encoder, np.zeros(48000, np.int16))
    assert min(map(len, quiet)) <= 2


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_other_rates_keep_the_sound(rate_hz: int) -> None:
    time = np.arange(rate_hz) / rate_hz
    tone = (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    encoder, decoder = Encoder(20, rate_hz), Decoder(rate_hz)
    heard = []
    for packet in encode_all(encoder, tone):
        assert packet_frames(packet) == FRAME
        done = decoder.decode(packet)
        heard.append(np.frombuffer(bytes(decoder.samples[: 2 * done]), np.int16))
    spectrum = np.abs(np.fft.rfft(np.concatenate(heard)))
    assert int(np.argmax(spectrum)) == 440


def test_headroom_is_left_to_the_caller() -> None:
    encoder = Encoder(20, headroom=12)
    encoder.packet[:12] = b"RTP-header.."
    encoder.samples[:] = speech(0.02).tobytes()
    length = encoder.encode()
    assert bytes(encoder.packet[:12]) == b"RTP-header.."
    assert packet_frames(bytes(encoder.packet[12 : 12 + length])) == FRAME


def test_errors_carry_the_text_of_libopus() -> None:
    with pytest.raises(OpusError, match=r"44100 Hz in 1 channels: invalid argument"):
        Encoder(20, 44100)
    with pytest.raises(OpusError, match=r"complexity 11: invalid argument"):
        Encoder(20).set_complexity(11)
    decoder = Decoder()
    with pytest.raises(OpusError, match="corrupted stream"):
        decoder.decode(b"\xff\xff\xff")
    assert decoder.conceal(480) == 480


@pytest.mark.parametrize(("packet", "frames"), [
    (b"", 0), (b"\x08", 960), (b"\x09", 1920), (b"\x00", 480), (b"\xfb", 0), (b"\xfb\x06", 5760), (b"\x1b\x3f", 0),
])  # fmt: skip
def test_packet_duration_is_read_from_its_first_bytes(packet: bytes, frames: int) -> None:
    assert packet_frames(packet) == frames


def encode_stereo(left: np.ndarray, right: np.ndarray, bitrate_bps: int) -> list[bytes]:
    """Two channels as a stock WebRTC sender encodes them: packets with the stereo bit (RFC 6716 3.1)."""
    lib, code = library(), ctypes.c_int()
    state = ctypes.c_void_p(lib.opus_encoder_create(48000, 2, 2049, ctypes.byref(code)))  # OPUS_APPLICATION_AUDIO
    assert code.value == 0
    lib.opus_encoder_ctl(state, 4002, ctypes.c_int32(bitrate_bps))
    interleaved = np.stack((left, right), axis=1).astype(np.int16)
    output, packets = ctypes.create_string_buffer(1275), []
    for at in range(0, len(interleaved) - FRAME + 1, FRAME):
        frame = ctypes.create_string_buffer(interleaved[at : at + FRAME].tobytes())
        length = lib.opus_encode(state, frame, FRAME, output, 1275)
        packets.append(output.raw[:length])
    lib.opus_encoder_destroy(state)
    return packets


@pytest.mark.parametrize("bitrate_bps", [24000, 96000])
def test_a_far_end_in_stereo_is_heard_with_both_channels(bitrate_bps: int) -> None:
    time_s = np.arange(CLOCK_RATE_HZ) / CLOCK_RATE_HZ
    left, right = (8000 * np.sin(2 * np.pi * hertz * time_s) for hertz in (500, 1100))
    packets = encode_stereo(left, right, bitrate_bps)
    decoder, heard = Decoder(), []
    assert any(packet[0] & 0x04 for packet in packets)  # really stereo
    for packet in packets:
        assert packet_frames(packet) == FRAME
        done = decoder.decode(packet)
        assert done == FRAME
        heard.append(np.frombuffer(bytes(decoder.samples[: 2 * done]), np.int16).astype(float))
    tail = np.concatenate(heard)[-CLOCK_RATE_HZ // 2 :]
    spectrum = np.abs(np.fft.rfft(tail)) * 2 / len(tail)
    for hertz in (500, 1100):
        assert spectrum[hertz // 2] == pytest.approx(4000, rel=0.15)  # half of each
