"""Opus (RFC 6716) by way of libopus: settings changeable in a call, with concealment and in-band FEC.

PyAV can neither conceal a lost frame nor decode FEC nor change a setting of an open encoder, hence this binding.
All buffers are made once; a call into libopus releases the GIL and copies nothing but the packet.
"""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_int32, c_void_p
from functools import cache
from typing import Any

CLOCK_RATE_HZ = 48000  # the RTP clock of Opus, whatever the codec's own rate (RFC 7587 4.1)
SAMPLE_BYTES = 2
MAX_PACKET_BYTES = 1275  # one Opus frame (RFC 6716 3.4); we send one frame a packet
MAX_PACKET_FRAMES = 5760  # 120 ms at 48 kHz, the longest packet there is (RFC 6716 3.2)
MAX_PTIME_MS = 60  # the longest frame that is one, and not several in a packet (RFC 6716 2)
SAMPLE_RATES_HZ = (8000, 12000, 16000, 24000, 48000)  # what libopus takes
UNSENT_BYTES = 2  # with DTX, packets of up to this size need not be sent (opus_encode)

_OK = 0
_APPLICATION_VOIP = 2048
_SIGNALS = {"auto": -1000, "voice": 3001, "music": 3002}
_SET_BITRATE = 4002
_SET_MAX_BANDWIDTH = 4004
_SET_VBR = 4006
_SET_COMPLEXITY = 4010
_SET_INBAND_FEC = 4012
_SET_PACKET_LOSS = 4014
_SET_DTX = 4016
_SET_FORCE_CHANNELS = 4022
_SET_SIGNAL = 4024
_BANDWIDTHS = ((8000, 1101), (12000, 1102), (16000, 1103), (24000, 1104), (48000, 1105))  # by what can play them


class CodecError(Exception):
    """A codec refused something. `str()` says what was being done."""


class OpusError(CodecError):
    """libopus refused something, or is missing. The text is libopus's own, with what was being done."""


def _load() -> ctypes.CDLL:
    """Debian's libopus0, which is the faster build, else the copy that the av wheel carries."""
    try:
        return ctypes.CDLL("libopus.so.0")
    except OSError:
        from importlib.util import find_spec  # noqa: PLC0415 - rare path; the import costs start-up time
        from pathlib import Path  # noqa: PLC0415

    spec = find_spec("av")
    if spec is not None and spec.origin is not None:
        for path in Path(spec.origin).parent.parent.glob("av.libs/libopus-*.so*"):
            return ctypes.CDLL(str(path))
    raise OpusError("libopus.so.0 not found; install it: apt-get install libopus0")


@cache
def library() -> ctypes.CDLL:
    """libopus with its prototypes set. Raises OpusError when there is none."""
    lib = _load()
    lib.opus_strerror.restype = c_char_p
    lib.opus_encoder_create.restype = c_void_p
    lib.opus_encoder_create.argtypes = [c_int32, c_int, c_int, c_void_p]
    lib.opus_encoder_destroy.argtypes = [c_void_p]
    lib.opus_encoder_ctl.argtypes = [c_void_p, c_int]
    lib.opus_encode.argtypes = [c_void_p, c_void_p, c_int, c_void_p, c_int32]
    lib.opus_encode.restype = c_int32
    lib.opus_decoder_create.restype = c_void_p
    lib.opus_decoder_create.argtypes = [c_int32, c_int, c_void_p]
    lib.opus_decoder_destroy.argtypes = [c_void_p]
    lib.opus_decode.argtypes = [c_void_p, c_char_p, c_int32, c_void_p, c_int, c_int]
    return lib


def _error(doing: str, code: int) -> OpusError:
    return OpusError(f"{doing}: {library().opus_strerror(code).decode()}")


_SILK, _HYBRID, _CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)
_FRAMES_BY_CONFIG = _SILK * 3 + _HYBRID * 2 + _CELT * 4
_FRAMES_BY_TOC = tuple(_FRAMES_BY_CONFIG[toc >> 3] * (1, 2, 2, 0)[toc & 3] for toc in range(256))


def packet_frames(packet: bytes) -> int:
    """How much audio a packet holds, in 48 kHz frames, by its first bytes (RFC 6716 3.1); 0 when malformed."""
    if not packet:
        return 0
    frames = _FRAMES_BY_TOC[packet[0]]
    if frames or len(packet) < 2:
        return frames
    frames = _FRAMES_BY_CONFIG[packet[0] >> 3] * (packet[1] & 63)
    return frames if frames <= MAX_PACKET_FRAMES else 0


def frame_frames(toc: int) -> int:
    """How much audio each Opus frame of a packet holds, in 48 kHz frames, by the packet's first byte."""
    return _FRAMES_BY_CONFIG[toc >> 3]


class Encoder:
    """One voice encoder of 1 or 2 channels. Write `samples`, call `encode`, read `packet`; nothing is allocated.

    `samples` is the input frame (int16, interleaved, `frame_bytes` long; another after `set_ptime`), `packet` the
    output buffer, whose first `headroom` bytes are left to the caller (an RTP header). Raises OpusError.
    """

    def __init__(self, ptime_ms: int, rate_hz: int = CLOCK_RATE_HZ, headroom: int = 0, channels: int = 1) -> None:
        lib = library()
        code = c_int()
        self._state: int | None = lib.opus_encoder_create(rate_hz, channels, _APPLICATION_VOIP, ctypes.byref(code))
        if code.value != _OK or not self._state:
            raise _error(f"Opus encoder at {rate_hz} Hz in {channels} channels", code.value)
        self._destroy = lib.opus_encoder_destroy
        self._encode = lib.opus_encode
        self._rate_hz, self._frame_size = rate_hz, channels * SAMPLE_BYTES
        self._input = (ctypes.c_char * (rate_hz * MAX_PTIME_MS // 1000 * self._frame_size))()
        self._output = (ctypes.c_char * (headroom + MAX_PACKET_BYTES))()
        self._output_address = c_void_p(ctypes.addressof(self._output) + headroom)
        self.packet = memoryview(self._output).cast("B")
        self.set_ptime(ptime_ms)
        self.set_signal("voice")

    def encode(self) -> int:
        """Encode `samples` into `packet` behind the headroom; returns the packet's length in bytes."""
        length: int = self._encode(*self._arguments)
        if length < 0:
            raise _error("encoding a frame", length)
        return length

    def set_ptime(self, ptime_ms: int) -> None:
        """The length of the next frames: 10, 20, 40 or 60 ms. `samples` is another from now on."""
        frames = self._rate_hz * ptime_ms // 1000
        self.frame_bytes = frames * self._frame_size
        self.samples = memoryview(self._input).cast("B")[: self.frame_bytes]
        # Ready-made arguments: converting an int to a pointer at each call costs more than the rest of the call.
        self._arguments = (
            c_void_p(self._state),
            c_void_p(ctypes.addressof(self._input)),
            c_int(frames),
            self._output_address,
            c_int32(MAX_PACKET_BYTES),
        )

    def set_bitrate(self, bitrate_bps: int) -> None:
        self._ctl("bitrate", _SET_BITRATE, bitrate_bps)

    def set_complexity(self, complexity: int) -> None:
        """0 (least CPU) to 10."""
        self._ctl("complexity", _SET_COMPLEXITY, complexity)

    def set_fec(self, enabled: bool) -> None:
        self._ctl("in-band FEC", _SET_INBAND_FEC, int(enabled))

    def set_packet_loss(self, percent: int) -> None:
        """The loss that in-band FEC is dimensioned for; with 0 libopus spends nothing on FEC."""
        self._ctl("packet loss", _SET_PACKET_LOSS, percent)

    def set_dtx(self, enabled: bool) -> None:
        self._ctl("DTX", _SET_DTX, int(enabled))

    def set_cbr(self, enabled: bool) -> None:
        """Every packet of the same size, in place of as large as its sound needs."""
        self._ctl("CBR", _SET_VBR, int(not enabled))

    def set_mono(self) -> None:
        """Code one channel of a two channel input, which is mixed."""
        self._ctl("forced channels", _SET_FORCE_CHANNELS, 1)

    def set_max_playback_rate(self, rate_hz: int) -> None:
        """Code no wider band than what is played at `rate_hz` has (RFC 7587 6.1)."""
        band = next((band for playable_hz, band in _BANDWIDTHS if playable_hz >= rate_hz), _BANDWIDTHS[-1][1])
        self._ctl("bandwidth", _SET_MAX_BANDWIDTH, band)

    def set_signal(self, signal: str) -> None:
        """`auto`, `voice` or `music`."""
        self._ctl("signal", _SET_SIGNAL, _SIGNALS[signal])

    def close(self) -> None:
        if self._state:
            self._destroy(self._state)
            self._state = None

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self.close()

    def _ctl(self, name: str, request: int, value: int) -> None:
        code = library().opus_encoder_ctl(self._state, request, c_int32(value))
        if code != _OK:
            raise _error(f"Opus {name} {value}", code)


class Decoder:
    """One decoder to 1 or 2 channels, whichever the packets have: libopus mixes or doubles. Every method leaves its
    result in `samples` (int16, interleaved) and returns its length in frames."""

    def __init__(self, rate_hz: int = CLOCK_RATE_HZ, channels: int = 1) -> None:
        lib = library()
        code = c_int()
        self._state: int | None = lib.opus_decoder_create(rate_hz, channels, ctypes.byref(code))
        if code.value != _OK or not self._state:
            raise _error(f"Opus decoder at {rate_hz} Hz in {channels} channels", code.value)
        self._destroy = lib.opus_decoder_destroy
        self._decode: Any = lib.opus_decode
        self._max_frames = MAX_PACKET_FRAMES * rate_hz // CLOCK_RATE_HZ
        self._output = (ctypes.c_char * (self._max_frames * channels * SAMPLE_BYTES))()
        self._pointer = c_void_p(self._state)
        self._address = c_void_p(ctypes.addressof(self._output))
        self.samples = memoryview(self._output).cast("B")

    def decode(self, packet: bytes) -> int:
        """Raises OpusError when the packet is malformed; the decoder stays usable."""
        frames: int = self._decode(self._pointer, packet, len(packet), self._address, self._max_frames, 0)
        if frames < 0:
            raise _error("decoding a packet", frames)
        return frames

    def decode_fec(self, packet: bytes, frames: int) -> int:
        """The `frames` before `packet`, the last of them from its in-band FEC: as many as one of its Opus frames
        holds. The others libopus conceals, and all where it carries none."""
        done: int = self._decode(self._pointer, packet, len(packet), self._address, frames, 1)
        if done < 0:
            raise _error("decoding FEC", done)
        return done

    def conceal(self, frames: int) -> int:
        """Continue the last sound for `frames` (a multiple of 2.5 ms), fading as the gap grows."""
        done: int = self._decode(self._pointer, None, 0, self._address, frames, 0)
        if done < 0:
            raise _error("concealing", done)
        return done

    def close(self) -> None:
        if self._state:
            self._destroy(self._state)
            self._state = None

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self.close()
