"""Two channels: what is said left and right comes out left and right, and one where one of the ends has one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.media.codecs.agreed import make_decoder, make_encoder
from agent.media.codecs.codec import FORMATS
from agent.media.engine import Engine
from agent.media.messages import OpusSetup
from tests.media.call_model import (
    LATENCY_S,
    PERIOD_FRAMES,
    PERIOD_S,
    RATE_HZ,
    Samples,
    Wire,
    far_session,
    is_rtp,
    page,
    transport,
)

SECONDS = 1.5
LEFT_HZ, RIGHT_HZ = 440, 1250
STEREO_TOC = 0x04  # of an Opus packet's first byte (RFC 6716 3.1)


def tone(frequency_hz: float, seconds: float = SECONDS) -> Samples:
    return (9000 * np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)).astype(np.int16)


def two_tones() -> Samples:
    return np.stack((tone(LEFT_HZ), tone(RIGHT_HZ)), axis=1)


def share(samples: Samples, frequency_hz: float) -> float:
    """How much of the power of the second half is at that frequency."""
    piece = samples[len(samples) // 2 :].astype(float)
    spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)))) ** 2
    at = round(frequency_hz * len(piece) / RATE_HZ)
    return float(spectrum[at - 3 : at + 4].sum() / (spectrum.sum() + 1.0))


class End:
    def __init__(self, side: int, channels: int, coded: int, codec: str) -> None:
        self.wire, self.channels = Wire(), channels
        self.engine = Engine(RATE_HZ, PERIOD_FRAMES, page(), lambda *_: None, channels=channels)
        setup = replace(transport(side, codec=codec), opus=OpusSetup(bitrate_bps=64000, channels=coded))
        self.engine.connect(setup, bytes(7) + bytes([side + 1]), self.wire, 0.0)

    def tick(self, samples: Samples, now_s: float) -> bytes:
        self.wire.now_s = now_s
        return self.engine.tick(samples.tobytes(), now_s)


def talk(channels: int, hears: int, *, coded: int = 1, codec: str = "opus") -> tuple[Samples, list[bytes]]:
    """One end says the two tones (mixed by itself where it has one channel); what the other hears, and all packets."""
    talker, listener = End(0, channels, coded, codec), End(1, hears, coded, codec)
    said = two_tones() if channels == 2 else (two_tones().sum(axis=1) // 2).astype(np.int16)[:, None]
    silence = np.zeros((PERIOD_FRAMES, hears), np.int16)
    heard, packets, session = [], [], far_session()
    for number in range(len(said) // PERIOD_FRAMES):
        now_s = (number + 1) * PERIOD_S
        talker.tick(said[number * PERIOD_FRAMES : (number + 1) * PERIOD_FRAMES], now_s)
        for data in talker.wire.sent:
            listener.wire.deliver(data, now_s + LATENCY_S)
            if is_rtp(data):
                packets.append(session.unprotect(data)[12:])
        talker.wire.sent.clear()
        period = listener.tick(silence, now_s + LATENCY_S + 0.001)
        assert len(period) == PERIOD_FRAMES * hears * 2
        heard.append(period)
    assert talker.engine.stats(SECONDS).capture_dbfs > -20
    assert listener.engine.stats(SECONDS).playback_dbfs > -20
    return np.frombuffer(b"".join(heard), np.int16).reshape(-1, hears), packets


def test_left_and_right_arrive_as_left_and_right() -> None:
    heard, packets = talk(2, 2, coded=2)
    left, right = heard.T
    assert share(left, LEFT_HZ) > 0.95
    assert share(right, RIGHT_HZ) > 0.95
    assert share(left, RIGHT_HZ) < 0.01
    assert share(right, LEFT_HZ) < 0.01
    assert all(packet[0] & STEREO_TOC for packet in packets[2:])


@pytest.mark.parametrize("codec", FORMATS)
def test_a_far_end_for_one_channel_gets_both_mixed_and_is_heard_in_both(codec: str) -> None:
    heard, packets = talk(2, 2, coded=1, codec=codec)
    left, right = heard.T
    assert np.array_equal(left, right)
    for frequency_hz in (LEFT_HZ, RIGHT_HZ):
        assert 0.2 < share(left, frequency_hz) < 0.8, frequency_hz
    if codec == "opus":
        assert not any(packet[0] & STEREO_TOC for packet in packets)


@pytest.mark.parametrize("codec", FORMATS)
def test_ends_with_different_numbers_of_channels_hear_each_other(codec: str) -> None:
    alone, _ = talk(2, 1, coded=2 if codec == "opus" else 1, codec=codec)
    both, _ = talk(1, 2, codec=codec)
    for samples in (alone[:, 0], *both.T):
        assert share(samples, LEFT_HZ) + share(samples, RIGHT_HZ) > 0.9


def test_a_longer_packet_keeps_the_channels_apart() -> None:
    encoder = make_encoder("opus", OpusSetup(channels=2, bitrate_bps=64000), RATE_HZ, 0, 2)
    decoder = make_decoder("opus", RATE_HZ, 2)
    said, at = two_tones(), 0
    heard: list[bytes] = []
    while at + 2880 <= len(said):
        ptime_ms = (10, 20, 40, 60)[len(heard) % 4]
        encoder.set_ptime(ptime_ms)
        frames = RATE_HZ * ptime_ms // 1000
        assert encoder.frame_bytes == len(encoder.samples) == frames * 4
        encoder.samples[:] = said[at : at + frames].tobytes()
        at += frames
        assert decoder.decode(bytes(encoder.packet[: encoder.encode()])) == frames
        heard.append(bytes(decoder.samples[: frames * 4]))
    left, right = np.frombuffer(b"".join(heard), np.int16).reshape(-1, 2).T
    assert share(left, LEFT_HZ) > 0.95
    assert share(right, RIGHT_HZ) > 0.95


def muted_payloads(said: Samples) -> list[bytes]:
    talker, session = End(0, 2, 2, "opus"), far_session()
    talker.engine.muted = True
    for number in range(100):
        talker.tick(said[number * PERIOD_FRAMES : (number + 1) * PERIOD_FRAMES], (number + 1) * PERIOD_S)
    return [session.unprotect(data)[12:] for data in talker.wire.sent if is_rtp(data)]


def test_muted_the_far_end_gets_the_packets_of_an_empty_room_to_the_last_bit() -> None:
    """Not "is quiet": a decoder makes noise of some bits out of silence itself."""
    said = two_tones()
    payloads = muted_payloads(said)
    assert len(payloads) == 50
    assert payloads == muted_payloads(np.zeros_like(said))
