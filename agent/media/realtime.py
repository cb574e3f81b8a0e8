"""What keeps the audio thread on time: real-time priority, and its memory in RAM. Not granted: why, and the cure."""

from __future__ import annotations

import ctypes
import errno
import os

RT_PRIORITY = 10  # above everything that is not real-time, below the kernel's interrupt threads (50)
_MCL_CURRENT, _MCL_ONFAULT = 1, 4  # <asm-generic/mman.h>
_DENIED = {errno.EPERM, errno.ENOMEM}  # no right to lock at all, or not as much as there is


def take_priority() -> str:
    """SCHED_RR for this thread; "" or what to do where that is not granted."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(RT_PRIORITY))
    except OSError as error:
        return (
            f"no real-time priority ({error.strerror}): sound may stutter while other programs are busy; set "
            f"LimitRTPRIO={RT_PRIORITY} in the service's unit, or run it as the installed service, which has it"
        )
    return ""


def lock_memory() -> str:
    """Keep every page that is in use, and every one of today's that will be, in RAM; "" or what to do.

    Only pages that are really used count (MCL_ONFAULT), so the process grows by nothing. Not those of the future
    (MCL_FUTURE): beyond LimitMEMLOCK every allocation would fail then. Call it again once more is loaded.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_ONFAULT) == 0:
        return ""
    number = ctypes.get_errno()
    reason = os.strerror(number)
    cure = "raise LimitMEMLOCK= in the service's unit" if number in _DENIED else "this kernel cannot (Linux 4.4 can)"
    return f"memory is not locked ({reason}): a page that was swapped out makes a gap in the sound; {cure}"
