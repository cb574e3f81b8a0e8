"""WAV files as sound sources and sinks of virtual devices (RIFF WAVE, PCM 16 bit, one or two channels)."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import struct
import wave
from pathlib import Path

from hardware.pcm import BYTES_PER_SAMPLE, PcmError
from hardware.sample_formats import S16_LE, doubled, from_card, mean_of_two

HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")  # RIFF, fmt (16 bytes, PCM) and the data chunk's head
FORMAT_CHUNK_BYTES = 16
FORMAT_PCM = 1
FLUSH_S = 1.0  # how much of a recording a killed process may lose


def read_wav(path: str | Path, rate_hz: int, channels: int = 1) -> bytes:
    """The whole file as int16 with `channels` (1 or 2). Raises `PcmError` for another rate or sample size.

    A file of two channels is mixed where one is wanted, a file of one doubled where two are; of more than two the
    first two count.
    """
    try:
        with wave.open(str(path), "rb") as source:
            if source.getframerate() != rate_hz or source.getsampwidth() != BYTES_PER_SAMPLE:
                found = f"{source.getframerate()} Hz, {source.getsampwidth() * 8} bit"
                raise PcmError(
                    errno.EINVAL,
                    f"WAV file {str(path)!r} is {found}; {rate_hz} Hz, 16 bit is needed "
                    f"(sox IN -r {rate_hz} -c {channels} -b 16 OUT)",
                )
            found_channels = source.getnchannels()
            frames = source.readframes(source.getnframes())
    except PcmError:
        raise
    except OSError as error:
        raise PcmError(error.errno, f"WAV file {str(path)!r} cannot be read: {error.strerror}") from None
    except (wave.Error, EOFError) as error:
        raise PcmError(
            errno.EINVAL, f"{str(path)!r} is not a WAV file with PCM samples: {error or 'it ends early'}"
        ) from None
    frames = frames[: len(frames) // (BYTES_PER_SAMPLE * found_channels) * BYTES_PER_SAMPLE * found_channels]
    if found_channels == 1:
        return frames if channels == 1 else doubled(frames)
    both = from_card(frames, S16_LE, found_channels, 2)
    return both if channels == 2 else mean_of_two(both)


class WavRecorder:
    """Writes int16 of `channels`. The header is brought up to date each second: a kill leaves a valid file.

    With `resume` a file that a recorder with this rate and channels has left is continued; any other is begun anew.
    """

    def __init__(self, path: str | Path, rate_hz: int, *, channels: int = 1, resume: bool = False) -> None:
        self._path = str(path)
        self._rate_hz = rate_hz
        self._frame_bytes = BYTES_PER_SAMPLE * channels
        self._data_bytes = 0
        self._flush_bytes = int(rate_hz * FLUSH_S) * self._frame_bytes
        self._pending = bytearray()
        kept_bytes = self._kept_bytes() if resume else None
        try:
            self._file: io.FileIO = io.FileIO(str(path), "w" if kept_bytes is None else "r+")
        except OSError as error:
            raise self._failed(error) from None
        try:
            if kept_bytes is not None:
                self._data_bytes = kept_bytes
                self._file.truncate(HEADER.size + kept_bytes)
                self._file.seek(0, io.SEEK_END)
            else:
                self._file.write(self._header())
        except OSError as error:
            self._file.close()
            raise self._failed(error) from None

    def write(self, samples: bytes) -> None:
        self._pending += samples
        if len(self._pending) >= self._flush_bytes:
            self.flush()

    def flush(self) -> None:
        """Samples first, then the sizes: the header never promises more than there is."""
        try:
            written = os.write(self._file.fileno(), self._pending)
            self._data_bytes += written
            os.pwrite(self._file.fileno(), self._header(), 0)
        except OSError as error:
            raise self._failed(error) from None
        del self._pending[:written]

    def close(self) -> None:
        """Never raises: what does not fit any more is lost, and a device that has failed is closed again."""
        if not self._file.closed:
            with contextlib.suppress(PcmError):
                self.flush()
            self._file.close()

    def _kept_bytes(self) -> int | None:
        """How much sound the file holds by its header; None when it is none of ours with this rate."""
        try:
            with Path(self._path).open("rb") as file:
                found = file.read(HEADER.size)
                size_bytes = os.fstat(file.fileno()).st_size
        except OSError:
            return None
        if len(found) < HEADER.size:
            return None
        self._data_bytes = HEADER.unpack(found)[-1]
        fits = found == self._header() and size_bytes >= HEADER.size + self._data_bytes
        kept_bytes, self._data_bytes = self._data_bytes, 0
        return kept_bytes if fits else None

    def _failed(self, error: OSError) -> PcmError:
        return PcmError(error.errno, f"WAV file {self._path!r} cannot be written: {error.strerror}")

    def _header(self) -> bytes:
        riff_bytes = HEADER.size - 8 + self._data_bytes
        channels, byte_rate = self._frame_bytes // BYTES_PER_SAMPLE, self._rate_hz * self._frame_bytes
        return HEADER.pack(
            b"RIFF", riff_bytes, b"WAVE", b"fmt ", FORMAT_CHUNK_BYTES, FORMAT_PCM, channels, self._rate_hz,
            byte_rate, self._frame_bytes, BYTES_PER_SAMPLE * 8, b"data", self._data_bytes,
        )  # fmt: skip
