"""WAV files as sound sources and sinks of virtual devices (RIFF WAVE, PCM 16 bit)."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import struct
import wave
from pathlib import Path

from hardware.pcm import BYTES_PER_SAMPLE, PcmError
from hardware.sample_formats import S16_LE, to_mono

HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")  # RIFF, fmt (16 bytes, PCM) and the data chunk's head
FORMAT_CHUNK_BYTES = 16
FORMAT_PCM = 1
FLUSH_S = 1.0  # how much of a recording a killed process may lose


def read_wav(path: str | Path, rate_hz: int) -> bytes:
    """The whole file as int16 mono samples: channel 0. Raises `PcmError` for another rate or sample size."""
    try:
        with wave.open(str(path), "rb") as source:
            if source.getframerate() != rate_hz or source.getsampwidth() != BYTES_PER_SAMPLE:
                found = f"{source.getframerate()} Hz, {source.getsampwidth() * 8} bit"
                raise PcmError(
                    errno.EINVAL,
                    f"WAV file {str(path)!r} is {found}; {rate_hz} Hz, 16 bit is needed "
                    f"(sox IN -r {rate_hz} -c 1 -b 16 OUT)",
                )
            frames = source.readframes(source.getnframes())
            return to_mono(frames, S16_LE, source.getnchannels())
    except PcmError:
        raise
    except OSError as error:
        raise PcmError(error.errno, f"WAV file {str(path)!r} cannot be read: {error.strerror}") from None
    except (wave.Error, EOFError) as error:
        raise PcmError(
            errno.EINVAL, f"{str(path)!r} is not a WAV file with PCM samples: {error or 'it ends early'}"
        ) from None


class WavRecorder:
    """Writes int16 mono samples. The header is brought up to date each second: a kill leaves a valid file.

    With `resume` a file that a recorder with this rate has left is continued; any other is begun anew.
    """

    def __init__(self, path: str | Path, rate_hz: int, *, resume: bool = False) -> None:
        self._path = str(path)
        self._rate_hz = rate_hz
        self._data_bytes = 0
        self._flush_bytes = int(rate_hz * FLUSH_S) * BYTES_PER_SAMPLE
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
        byte_rate = self._rate_hz * BYTES_PER_SAMPLE
        return HEADER.pack(
            b"RIFF", riff_bytes, b"WAVE", b"fmt ", FORMAT_CHUNK_BYTES, FORMAT_PCM, 1, self._rate_hz,
            byte_rate, BYTES_PER_SAMPLE, BYTES_PER_SAMPLE * 8, b"data", self._data_bytes,
        )  # fmt: skip
