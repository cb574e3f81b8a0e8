"""`callpoint lab`: an attended session at the console, or one unattended call with a verdict.

space bar ─▶ daemon (child process, virtual board) ◀─ws─▶ LabGateway ─▶ FarEnd
                │ control socket, MQTT                        (media: daemon ◀─▶ FarEnd, on loopback)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.lab import voice
from agent.lab.broker import BrokerError
from agent.lab.console import open_console, print_report, say
from agent.lab.daemon import DaemonError, Fields
from agent.lab.far_end import ECHO_DELAY_S, FRAME
from agent.lab.measure import aligned_correlation
from agent.lab.report import CallReport, OneWay, echo_delay_s, end_of, match_of_looped
from agent.lab.rig import Lab, open_lab
from agent.lab.voice import RATE_HZ

TALK_S = 12.0  # enough for the greeting and one round of the microphone's words
RING_S = 1.5  # so that a person sees it ring
ANSWER_TIMEOUT_S = 20.0
END_TIMEOUT_S = 10.0
EXIT_INTERRUPTED = 130  # what shells report for Ctrl-C
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, kill, the closed window
SOUND_CARDS = Path("/proc/asound/cards")
FAR_END = "far-end.wav"
ECHO_MARGIN_S = 0.3  # past the end of the greeting: the way of the first echoed packets


async def run_lab(*, once: bool, seconds: float | None, keep: Path) -> int:
    """Run the lab until the person quits (or `seconds` are over); with `once` place one call and judge it.

    Recordings and logs go to the folder `keep`. Returns the exit code: 0, 1 when something did not start or, with
    `once`, audio did not go both ways, and 130 when it was interrupted.
    """
    say("starting the gateway, the broker and the daemon")
    try:
        await asyncio.to_thread(keep.mkdir, parents=True, exist_ok=True)
        logging.basicConfig(filename=keep / "lab.log", filemode="w", level=logging.WARNING)  # not across the screen
        sound_card = not once and await asyncio.to_thread(_has_sound_card)
        with _stopped_by_signals() as stopped:
            try:
                async with open_lab(keep, sound_card=sound_card, ring_s=0.0 if once else RING_S) as lab:
                    if once:
                        return await _one_call(lab, seconds or TALK_S)
                    await _attended(lab, seconds)
                    say(f"recordings and logs are in {keep}")
                    return 0
            except asyncio.CancelledError:
                if not stopped.is_set():
                    raise
                return EXIT_INTERRUPTED
    except (BrokerError, DaemonError, OSError) as error:
        say(f"the lab has to stop: {error}")
        say(f"the daemon's log is {keep / 'daemon.log'}")
        return 1


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[asyncio.Event]:
    """Let signals cancel this task: the daemon is a session of its own and would live on otherwise."""
    loop, task, stopped = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()

    def stop() -> None:
        if not stopped.is_set() and task is not None:
            stopped.set()
            task.cancel()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield stopped
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


async def _one_call(lab: Lab, talk_s: float) -> int:
    """Press, listen, press again, and print what came of it."""
    say(f"ready: broker at {lab.broker.host}:{lab.broker.port}, gateway at {lab.gateway.url}; pressing the bell")
    pressed_s = time.monotonic()
    await lab.press()
    state = await lab.daemon.wait_for(_answered_or_over, "answer", ANSWER_TIMEOUT_S)
    answered_s = time.monotonic() - pressed_s if state["call"] else None
    if answered_s is not None:
        say(f"answered after {answered_s:.2f} s; talking for {talk_s:.0f} s")
        with contextlib.suppress(DaemonError):
            await lab.daemon.wait_for(_over, "end of the call", talk_s)
        if not _over(lab.daemon.state):
            await lab.press()
        await lab.daemon.wait_for(_over, "end of the call", END_TIMEOUT_S)
    report = await judge(lab, pressed_s, answered_s)
    print_report(report, lab.keep)
    return 0 if report.passed else 1


async def _attended(lab: Lab, seconds: float | None) -> None:
    """Show what happens and do what the keys say."""
    async with open_console(lab) as console:
        showing = asyncio.create_task(console.show(), name="lab console")
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await console.quit.wait()
        finally:  # also when interrupted: the screen goes back to what it was before anything else is said
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)


async def judge(lab: Lab, pressed_s: float, answered_s: float | None) -> CallReport:
    """Compare what was said with what was heard in the newest call."""
    sounds, far_end = lab.sounds, lab.far_end
    last_call = lab.daemon.state.get("last_call") or {}
    audio = last_call.get("audio") or {}
    reason = end_of(last_call)
    if far_end is None:
        nothing = OneWay(0.0, 0.0, 0)
        return CallReport(answered_s, None, None, nothing, nothing, reason)
    voice.write_wav(lab.keep / FAR_END, far_end.heard.samples)
    try:
        speaker = await asyncio.to_thread(voice.read_wav, sounds.speaker_path)
    except OSError:
        speaker = np.zeros(0, dtype=np.int16)
    delay_s, greeting_match = await asyncio.to_thread(aligned_correlation, sounds.greeting, speaker, RATE_HZ)
    echo_from_s = delay_s + sounds.greeting.size / RATE_HZ + ECHO_DELAY_S + ECHO_MARGIN_S
    looped, heard = sounds.microphone, far_end.heard
    return CallReport(
        answer_s=answered_s,
        first_audio_s=heard.arrivals[0][0] - pressed_s if heard.arrivals else None,
        round_trip_s=await asyncio.to_thread(echo_delay_s, looped, speaker, echo_from_s, ECHO_DELAY_S),
        at_device=OneWay(
            int(audio.get("packets_received") or 0) * FRAME / RATE_HZ,
            greeting_match,
            int(audio.get("packets_lost") or 0),
        ),
        at_far_end=OneWay(
            heard.seconds,
            await asyncio.to_thread(match_of_looped, looped, heard.samples),
            far_end.packets.lost,
        ),
        end_reason=reason,
    )


def _answered_or_over(state: Fields) -> bool:
    return state.get("state") == "active" or (state.get("call") is None and state.get("last_call") is not None)


def _over(state: Fields) -> bool:
    return state.get("call") is None


def _has_sound_card() -> bool:
    """Whether ALSA has a card that "default" can mean."""
    try:
        return "[" in SOUND_CARDS.read_text()
    except OSError:
        return False
