"""Echo canceller and preprocessor of libspeexdsp (Debian's libspeexdsp1), by ctypes.

The echo canceller is the linear one of J.-M. Valin's "On Adjusting the Learning Rate in Frequency Domain Echo
Cancellation With Double-Talk" (2007): it models the way from speaker to microphone and takes away what the model says,
and nothing else, so a near talker stays untouched. The preprocessor takes away the rest of the echo, steady noise, and
levels the voice; it adds 10 ms of delay. Calls into the library release the GIL.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_float, c_int, c_void_p
from functools import cache

LIBRARY = "libspeexdsp.so.1"
SAMPLE_BYTES = 2

# speex_echo.h
_ECHO_SET_SAMPLING_RATE = 24
# speex_preprocess.h
_SET_DENOISE = 0
_SET_AGC = 2
_SET_AGC_LEVEL = 6
_SET_NOISE_SUPPRESS = 18
_SET_ECHO_STATE = 24
AGC_LEVEL = 8000.0  # RMS that the gain control aims at: -12 dBFS, as AGC2 does


class SpeexDspMissing(RuntimeError):  # noqa: N818 - says what is the case
    """The library is not installed. `str()` names the cure."""


@cache
def library() -> ctypes.CDLL:
    """libspeexdsp with its prototypes set. Raises SpeexDspMissing."""
    try:
        lib = ctypes.CDLL(LIBRARY)
    except OSError:
        raise SpeexDspMissing(f"{LIBRARY} not found; install it: apt-get install libspeexdsp1") from None
    lib.speex_echo_state_init.restype = c_void_p
    lib.speex_echo_state_init.argtypes = [c_int, c_int]
    lib.speex_echo_state_destroy.argtypes = [c_void_p]
    lib.speex_echo_state_reset.argtypes = [c_void_p]
    lib.speex_echo_ctl.argtypes = [c_void_p, c_int, c_void_p]
    lib.speex_echo_cancellation.argtypes = [c_void_p, c_char_p, c_char_p, c_void_p]
    lib.speex_preprocess_state_init.restype = c_void_p
    lib.speex_preprocess_state_init.argtypes = [c_int, c_int]
    lib.speex_preprocess_state_destroy.argtypes = [c_void_p]
    lib.speex_preprocess_ctl.argtypes = [c_void_p, c_int, c_void_p]
    lib.speex_preprocess_run.argtypes = [c_void_p, c_void_p]
    return lib


class LinearEchoCanceller:
    """A filter of `tail_ms` that follows the way from speaker to microphone. `block_frames` in and out, mono int16.

    Raises SpeexDspMissing.
    """

    def __init__(self, rate_hz: int, block_frames: int, tail_ms: int) -> None:
        self._lib = library()
        self._state = c_void_p(self._lib.speex_echo_state_init(block_frames, rate_hz * tail_ms // 1000))
        self._lib.speex_echo_ctl(self._state, _ECHO_SET_SAMPLING_RATE, byref(c_int(rate_hz)))
        self._out = ctypes.create_string_buffer(block_frames * SAMPLE_BYTES)
        self._size = block_frames * SAMPLE_BYTES
        self._run = self._lib.speex_echo_cancellation

    @property
    def state(self) -> c_void_p:
        """For a `Preprocessor` that is to take away what this one leaves."""
        return self._state

    def process(self, mic: bytes, far: bytes) -> bytes:
        """`mic` without what `far` left in it. Both are one block."""
        if len(mic) != self._size or len(far) != self._size:
            raise ValueError(f"speexdsp: a block is {self._size} bytes, got {len(mic)} and {len(far)}")
        self._run(self._state, mic, far, self._out)
        return self._out.raw

    def reset(self) -> None:
        """Forget the way: it is another one now."""
        self._lib.speex_echo_state_reset(self._state)

    def close(self) -> None:
        if self._state:
            self._lib.speex_echo_state_destroy(self._state)
            self._state = c_void_p(None)


class Preprocessor:
    """Residual echo of `canceller` (None: leave echo alone), steady noise and level. One block, mono int16.

    `noise_db` is by how much noise is turned down, 0 for not at all. Raises SpeexDspMissing. `canceller` is to be
    closed after this one.
    """

    def __init__(
        self,
        rate_hz: int,
        block_frames: int,
        *,
        canceller: LinearEchoCanceller | None = None,
        noise_db: int = 0,
        gain_control: bool = False,
    ) -> None:
        self._lib = library()
        self._state = c_void_p(self._lib.speex_preprocess_state_init(block_frames, rate_hz))
        self._set(_SET_DENOISE, c_int(noise_db > 0))
        if noise_db:
            self._set(_SET_NOISE_SUPPRESS, c_int(-noise_db))
        if gain_control:
            self._set(_SET_AGC, c_int(1))
            self._set(_SET_AGC_LEVEL, c_float(AGC_LEVEL))
        if canceller is not None:
            self._lib.speex_preprocess_ctl(self._state, _SET_ECHO_STATE, canceller.state)
        self._block = ctypes.create_string_buffer(block_frames * SAMPLE_BYTES)
        self._size = block_frames * SAMPLE_BYTES

    def process(self, mic: bytes) -> bytes:
        """The block before this one, cleaned: 10 ms late at most."""
        if len(mic) != self._size:
            raise ValueError(f"speexdsp: a block is {self._size} bytes, got {len(mic)}")
        self._block.raw = mic
        self._lib.speex_preprocess_run(self._state, self._block)
        return self._block.raw

    def close(self) -> None:
        if self._state:
            self._lib.speex_preprocess_state_destroy(self._state)
            self._state = c_void_p(None)

    def _set(self, request: int, value: c_int | c_float) -> None:
        self._lib.speex_preprocess_ctl(self._state, request, byref(value))
