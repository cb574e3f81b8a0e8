"""The telephone's codecs: against FFmpeg's, through the whole audio path, and where packets are missing."""

from array import array

import av
import numpy as np
import pytest

from agent.media.codecs.agreed import make_decoder, make_encoder
from agent.media.codecs.codec import FORMATS, format_of
from agent.media.codecs.g711 import G711
from agent.media.codecs.g722 import G722
from agent.media.codecs.opus import SAMPLE_RATES_HZ, CodecError
from agent.media.codecs.resample import Resampler
from agent.media.messages import OpusSetup
from tests.media.call_model import LATENCY_S, PERIOD_FRAMES, RATE_HZ, Conversation, delay_frames, speech

TELEPHONY = [name for name in FORMATS if name != "opus"]
G711_OF_FFMPEG = {"pcmu": "pcm_mulaw", "pcma": "pcm_alaw"}
ALL_SAMPLES = np.arange(-32768, 32768).astype(np.int16)


def ffmpeg_encoded(codec: str, samples: np.ndarray, rate_hz: int = 8000) -> bytes:
    encoder = av.CodecContext.create(codec, "w")
    encoder.format, encoder.layout, encoder.sample_rate = "s16", "mono", rate_hz
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples))
    frame.planes[0].update(samples.tobytes())
    frame.sample_rate = rate_hz
    return b"".join(bytes(packet) for packet in encoder.encode(frame))


@pytest.mark.parametrize("law", G711_OF_FFMPEG)
def test_every_g711_code_has_the_value_that_ffmpeg_gives_it(law: str) -> None:
    codes = bytes(range(256))
    decoder = av.CodecContext.create(G711_OF_FFMPEG[law], "r")
    decoder.layout, decoder.sample_rate = "mono", 8000
    frames = decoder.decode(av.Packet(codes))
    assert G711(law).decode(codes).tobytes() == b"".join(bytes(frame.planes[0])[:512] for frame in frames)


@pytest.mark.parametrize("law", G711_OF_FFMPEG)
def test_every_sample_gets_the_nearest_g711_code(law: str) -> None:
    codec = G711(law)
    ours = codec.encode(array("h", ALL_SAMPLES.tobytes()))
    theirs = ffmpeg_encoded(G711_OF_FFMPEG[law], ALL_SAMPLES)
    distance = [np.abs(np.array(codec.decode(codes)) - ALL_SAMPLES.astype(int)) for codes in (ours, theirs)]
    assert (distance[0] <= distance[1]).all()
    differing = np.flatnonzero(np.frombuffer(ours, np.uint8) != np.frombuffer(theirs, np.uint8))
    assert len(differing) < 600  # the ties, halfway between two values


@pytest.mark.parametrize("loudness", [0.02, 1.0, 3.0])
def test_g722_has_the_same_bits_as_that_of_ffmpeg_both_ways(loudness: float) -> None:
    voice = np.clip(speech(1.0)[::3] * loudness, -32768, 32767).astype(np.int16)
    codec = G722()
    ours = b"".join(codec.encode(array("h", voice[at : at + 320].tobytes())) for at in range(0, len(voice), 320))
    theirs = ffmpeg_encoded("g722", voice, 16000)
    assert ours == theirs
    decoder = av.CodecContext.create("g722", "r")
    decoder.layout, decoder.sample_rate = "mono", 16000
    noise = np.random.default_rng(5).bytes(8000)  # every code, and scales at both of their ends
    for payload in (theirs, noise):
        frames = decoder.decode(av.Packet(payload))
        heard = b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in frames)
        assert codec.decode(payload).tobytes() == heard


@pytest.mark.parametrize("device_hz", SAMPLE_RATES_HZ)
@pytest.mark.parametrize("codec_hz", [8000, 16000])
def test_resampling_there_and_back_keeps_the_telephone_band(device_hz: int, codec_hz: int) -> None:
    lower_hz = min(device_hz, codec_hz)
    time = np.arange(device_hz) / device_hz
    tones = sum(np.sin(2 * np.pi * hertz * time + hertz) for hertz in (300, 1100, 0.35 * lower_hz))
    sent = (7000 * tones).astype(np.int16)
    there, back = Resampler(device_hz, codec_hz), Resampler(codec_hz, device_hz)
    block = device_hz // 50
    heard = np.concatenate(
        [
            np.array(back.process(memoryview(there.process(memoryview(sent[at : at + block])))))
            for at in range(0, len(sent), block)
        ]
    )
    assert len(heard) == len(sent)
    delay = 0 if device_hz == codec_hz else round(24 * device_hz / lower_hz)
    piece, after = sent[block:-4800].astype(float), heard[block + delay :][: len(sent) - 4800 - block]
    error = piece - after
    assert 10 * np.log10((piece**2).mean() / ((error**2).mean() + 1e-9)) > 30


def test_what_a_lower_rate_cannot_hold_is_filtered_out() -> None:
    time = np.arange(RATE_HZ) / RATE_HZ
    above = (16000 * np.sin(2 * np.pi * 5500 * time)).astype(np.int16)
    folded = np.array(Resampler(RATE_HZ, 8000).process(memoryview(above)))[100:]
    assert np.sqrt((folded.astype(float) ** 2).mean()) < 16000 / 1000


def test_an_overshoot_is_held_at_full_scale() -> None:
    square = (32767 * np.sign(np.sin(2 * np.pi * 100 * (np.arange(800) + 0.5) / 8000))).astype(np.int16)
    output = np.array(Resampler(8000, RATE_HZ).process(memoryview(square)), dtype=int)
    assert (output.max(), output.min()) == (32767, -32768)
    assert np.abs(np.diff(output)).max() < 20000  # wrapped around it would be 65535


@pytest.mark.parametrize("codec", TELEPHONY)
def test_the_voice_arrives_and_no_delay_is_added_to_that_of_opus(codec: str) -> None:
    voice = speech(2.5)
    call = Conversation(codec=codec)
    heard, by_opus = call.run(voice), Conversation().run(voice)
    stats = call.listener.engine.stats(call.now_s)
    assert (stats.packets_lost, stats.concealed_frames, stats.fec_frames, stats.packets_dropped) == (0, 0, 0, 0)
    assert stats.jitter_ms < 0.1
    for probe_s in (0.5, 1.0, 1.7):
        delay, likeness = delay_frames(voice, heard, probe_s)
        assert likeness > 0.97
        assert delay <= delay_frames(voice, by_opus, probe_s)[0] + PERIOD_FRAMES


@pytest.mark.parametrize("codec", TELEPHONY)
def test_lost_packets_are_concealed_and_leave_the_timeline_alone(codec: str) -> None:
    voice = speech(2.5)
    lost = {50, 70, 71}
    call = Conversation(lambda number, sent_s: [] if number in lost else [sent_s + LATENCY_S], codec=codec)
    heard = call.run(voice)
    stats = call.listener.engine.stats(call.now_s)
    assert (stats.packets_lost, stats.concealed_frames, stats.fec_frames) == (3, 3, 0)
    undisturbed = Conversation(codec=codec).run(voice)
    assert delay_frames(voice, heard, 1.9) == delay_frames(voice, undisturbed, 1.9)


@pytest.mark.parametrize("codec", TELEPHONY)
def test_jitter_is_reported_in_units_of_the_codecs_own_clock(codec: str) -> None:
    call = Conversation(lambda number, sent_s: [sent_s + LATENCY_S + (0.004 if number % 2 else 0.0)], codec=codec)
    call.run(speech(3.0))
    receiver = call.listener.engine._receiver
    assert receiver is not None
    assert receiver.reception is not None
    assert receiver.reception.jitter_ms == pytest.approx(4.0, abs=0.3)
    assert receiver.reception.jitter == pytest.approx(0.004 * format_of(codec).clock_rate_hz, abs=3)


@pytest.mark.parametrize("rate_hz", SAMPLE_RATES_HZ)
@pytest.mark.parametrize("codec", TELEPHONY)
def test_a_gap_fades_out_and_then_is_silent(codec: str, rate_hz: int) -> None:
    encoder = make_encoder(codec, OpusSetup(), rate_hz, headroom=12)
    decoder = make_decoder(codec, rate_hz)
    frames = rate_hz // 50
    tone = (8000 * np.sin(2 * np.pi * 400 * np.arange(frames) / rate_hz)).astype(np.int16).tobytes()
    for _ in range(4):
        encoder.samples[:] = tone
        length = encoder.encode()
        assert length == 160
        assert decoder.decode(bytes(encoder.packet[12 : 12 + length])) == frames
    loudness = []
    for _ in range(10):
        done = decoder.conceal(frames // 2)
        assert done == frames // 2
        samples = np.frombuffer(decoder.samples[: 2 * done], np.int16).astype(float)
        loudness.append(np.sqrt((samples**2).mean()))
    assert loudness[0] > 4000
    assert loudness[:6] == sorted(loudness[:6], reverse=True)
    assert max(loudness[7:]) <= 10


def test_packets_of_any_length_do_no_harm() -> None:
    for rate_hz in SAMPLE_RATES_HZ:
        decoder = make_decoder("pcmu", rate_hz)
        for length in (1, 2, 3, 79, 161, 960):
            assert decoder.decode(b"\x55" * length) <= length * rate_hz // 8000 + 1
        with pytest.raises(CodecError, match="at most 960"):
            decoder.decode(bytes(961))


def test_a_codec_that_is_not_ours_is_refused_by_name() -> None:
    with pytest.raises(CodecError, match="'gsm' is not one of opus, g722, pcmu"):
        make_decoder("gsm", RATE_HZ)
