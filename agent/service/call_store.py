"""The live call on disk: a daemon that was killed in a call and started again takes the conversation up once more.

The gateway keeps a call for up to 90 s after its connection broke (telnyx-rtc.md 8, point 11) and offers it again to
whoever logs in with the same session. What that takes is kept in one small file on the tmpfs of the service's runtime
directory. Age is told by CLOCK_BOOTTIME, for a Raspberry Pi has no wall clock until the network gives it one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from agent.calls.call import Party
from agent.calls.state import CallState, Direction

logger = logging.getLogger(__name__)

MAX_AGE_S = 90.0  # by then the gateway has given the call up
SAVE_INTERVAL_S = 10.0  # the age counts from the last save: a live call is saved at every change, and this often
_MAX_BYTES = 64 * 1024
_FILE_MODE = 0o600
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_VERSION = 1

_Text = Annotated[str, Field(max_length=512)]
_Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


@dataclass(frozen=True)
class SavedCall:
    """An answered call, as much of it as another process needs to go on with it.

    `answered_s` is how long it had been answered when it was saved, in seconds; `age_s` how long ago that was, set by
    `CallStore.load`. The ids let their holder into the call: `voice_sdk_id` and `sessid` stay out of the repr.
    `destination` is what was dialled, or what the caller had dialled, and `callee_name` what the gateway calls us.
    `options` are those of this one call, without its STUN and TURN servers if one has a password, which is not to be
    kept. The `telnyx_` ids are what the gateway calls the call.
    """

    line: _Text
    sessid: _Text = field(repr=False)
    call_id: _Text
    direction: Direction
    voice_sdk_id: _Text | None = field(default=None, repr=False)
    party: Party = field(default_factory=Party)
    target: _Text = ""
    state: CallState = CallState.ACTIVE
    muted: bool = False
    destination: _Text = ""
    callee_name: _Text = ""
    client_state: Annotated[str, Field(max_length=_MAX_BYTES)] | None = field(default=None, repr=False)
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    telnyx_session_id: _Text | None = field(default=None, repr=False)
    telnyx_leg_id: _Text | None = field(default=None, repr=False)
    telnyx_call_control_id: _Text | None = field(default=None, repr=False)
    answered_s: _Seconds = 0.0
    age_s: _Seconds = 0.0

    @property
    def held(self) -> bool:
        return self.state is CallState.HELD


@dataclass(frozen=True)
class _File:
    version: int
    boot_id: str
    saved_s: float  # CLOCK_BOOTTIME
    call: SavedCall


def _encode(kept: _File) -> bytes:
    return json.dumps(asdict(kept)).encode()


def _decode(data: bytes) -> _File:
    """Raises ValidationError. The adapter takes longer to make than all else here, and few starts find a file."""
    return TypeAdapter(_File).validate_json(data)


class CallStore:
    """One file with one call. All methods are quick: the file is small and lies in memory."""

    def __init__(self, path: Path, clock: Callable[[], float] | None = None, boot_id: str | None = None) -> None:
        self._path = path
        self._clock = clock or (lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
        self._boot_id = boot_id if boot_id is not None else _read_boot_id()
        self._failed = False

    def save(self, call: SavedCall) -> None:
        """Keep `call` in place of what was kept. A disk that does not take it is told of once; the call goes on."""
        data = _encode(kept := _File(_VERSION, self._boot_id, self._clock(), replace(call, age_s=0.0)))
        if len(data) > _MAX_BYTES:  # headers by the hundred: better the call without them than no call
            data = _encode(replace(kept, call=replace(kept.call, options={}, client_state=None)))
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()  # of a process killed while it wrote; O_EXCL below follows no link that stands there
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            new.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()  # half a call, on a disk that is full
            if not self._failed:
                logger.warning("the call cannot be kept in %s (%s): it would not survive a crash", self._path, error)
            self._failed = True
        else:
            self._failed = False

    def load(self) -> SavedCall | None:
        """The call that a former process left behind, if it is still worth taking up; else None.

        A file that is broken, of another boot or too old is removed, with one line in the log.
        """
        try:
            kept = _decode(self._read())
            age_s = self._clock() - kept.saved_s
            problem = self._problem(kept, age_s)
        except FileNotFoundError:
            return None
        except ValidationError as error:
            where = ".".join(map(str, error.errors(include_input=False, include_url=False)[0]["loc"]))
            problem = f"its content is damaged, at {where or 'the whole of it'}"
        except OSError as error:
            problem = error.strerror or str(error)
        if problem:
            logger.info("a call kept in %s is not taken up again: %s", self._path, problem)
            self.clear()
            return None
        return replace(kept.call, age_s=age_s)

    def _problem(self, kept: _File, age_s: float) -> str:
        if kept.version != _VERSION:
            return "another version of Callpoint wrote it"
        if kept.call.state not in (CallState.ACTIVE, CallState.HELD):
            return "the call was not answered"
        if kept.boot_id != self._boot_id:
            return "the device has been started anew since"
        if not 0.0 <= age_s < MAX_AGE_S:
            return f"it is {age_s:.0f} s old, and the gateway keeps a call for {MAX_AGE_S:.0f} s"
        return ""

    def clear(self) -> None:
        """Forget the call: it has ended."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _read(self) -> bytes:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                raise PermissionError(1, "it is not a file of this user")
            return os.read(descriptor, _MAX_BYTES)
        finally:
            os.close(descriptor)  # not by fdopen(), which refuses a folder and leaves it open


def _read_boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""  # a container without /proc: CLOCK_BOOTTIME alone decides
