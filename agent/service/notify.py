"""What systemd is told: ready, a status line, the watchdog's sign of life, stopping (sd_notify(3)).

Outside systemd, or without the systemd-python package, all of it does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping

try:
    from systemd.daemon import notify as sd_notify
except ImportError:
    sd_notify = None

logger = logging.getLogger(__name__)

SIGNS_PER_TIMEOUT = 4  # one slow sign of life must not restart the device, several in a row must
Probe = Callable[[], Awaitable[bool]]


def watchdog_timeout_s(environ: Mapping[str, str], pid: int) -> float | None:
    """After how many seconds of silence systemd kills us; None when it does not (sd_watchdog_enabled(3))."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        timeout_us = int(environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return timeout_us / 1e6 if timeout_us > 0 else None


class Notifier:
    """Speaks to systemd over `$NOTIFY_SOCKET`.

    `probe` answers whether the parts outside the event loop are alive (the media process). The watchdog hears of
    us only when the loop runs and `probe` says True in time (an `OSError` means no), so either of them hanging
    gets the service restarted.
    """

    def __init__(self, probe: Probe, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._probe = probe
        self._started = asyncio.Event()
        self._enabled = bool(environ.get("NOTIFY_SOCKET"))
        self._timeout_s = watchdog_timeout_s(environ, os.getpid())
        if self._enabled and sd_notify is None:
            logger.warning("systemd is not told that we run: the Python package systemd-python is missing")
            self._enabled = False

    def ready(self, status: str) -> None:
        """Start-up is done; the watchdog counts from here."""
        self._started.set()
        self._notify(f"READY=1\nSTATUS={_one_line(status)}")

    def status(self, text: str) -> None:
        """The line that `systemctl status callpoint` shows."""
        self._notify(f"STATUS={_one_line(text)}")

    def stopping(self, status: str) -> None:
        """Shutdown begins."""
        self._notify(f"STOPPING=1\nSTATUS={_one_line(status)}")

    async def run(self) -> None:
        """Feed the watchdog until cancelled; returns at once where there is none."""
        if not self._enabled or self._timeout_s is None:
            return
        interval_s = self._timeout_s / SIGNS_PER_TIMEOUT
        was_alive = True
        await self._started.wait()
        while True:
            alive = await self._is_alive(interval_s)
            if alive:
                self._notify("WATCHDOG=1")
            if was_alive and not alive:
                logger.error(
                    "the media process does not answer; without a sign of life systemd restarts us after %.0f s",
                    self._timeout_s,
                )
            was_alive = alive
            await asyncio.sleep(interval_s)

    async def _is_alive(self, timeout_s: float) -> bool:
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(timeout_s):
                return await self._probe()
        return False

    def _notify(self, assignments: str) -> None:
        if not self._enabled or sd_notify is None:
            return
        try:
            sd_notify(assignments)
        except OSError as error:
            logger.warning("systemd cannot be told about our state: %s", error.strerror)


def _one_line(text: str) -> str:
    return " ".join(text.split())
