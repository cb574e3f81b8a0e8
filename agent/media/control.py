"""The control process's side of the media process: starts it, keeps it running, gives it the call."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import sys
import time
from collections.abc import Callable

from agent.media import counters, srtp, telephone_event, wire
from agent.media.held_call import HeldCall, HeldPrompt, at_volume, check, events
from agent.media.messages import (
    AudioFailed,
    AudioOpened,
    AudioSetup,
    Datagram,
    DtmfReceived,
    MediaDied,
    MediaEvent,
    MediaReady,
    MediaStats,
    StatsReport,
    TransportSetup,
    voice_wanted,
)
from agent.media.prompt_files import PromptError, PromptFiles, Recording
from agent.media.prompts import PromptTo
from agent.media.start import start_media_process

logger = logging.getLogger(__name__)

QUICK_DEATH_S = 1.0  # a process that dies sooner has something wrong with it: no use hurrying
BACKOFF_S = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0)  # by how many quick deaths in a row; the first restart is at once
REPLY_TIMEOUT_S = 5.0  # for opening devices, the slowest thing asked for; USB cards take up to a second
PING_TIMEOUT_S = 2.0
STALL_S = 5.0  # statistics come every second: without them for this long the audio thread hangs, and is replaced
STOP_S = 1.0  # for closing devices and saying BYE
MAX_MESSAGES_A_TURN = 64  # the loop has other things to do


class MediaError(Exception):
    """The media process cannot do what was asked. `str()` says what and why."""


class MediaProcess:
    """One media process and at most one call in it.

    `on_event` is called in the loop's thread. `pid` is None while no process runs; `restarts` counts them.
    """

    def __init__(self, on_event: Callable[[MediaEvent], None], *, python: str = sys.executable) -> None:
        self.pid: int | None = None
        self.restarts = 0
        self.microphone_shut = False  # for all calls, until it is said otherwise
        self._on_event = on_event
        self._python = python
        self._ready = asyncio.Event()
        self._call: HeldCall | None = None
        self._socket: socket.socket | None = None
        self._counters_fd = -1
        self._gone = asyncio.Event()
        self._heard_s = 0.0
        self._stats = MediaStats()
        self._replies: dict[str, asyncio.Future[wire.Message]] = {}
        self._ping_ids = itertools.count(1)
        self._prompts = PromptFiles()
        self._prepared: AudioSetup | None = None
        self.percents = (100, 100)

    async def run(self) -> None:
        """Keep a media process running until cancelled; it has ended, and nothing is left open, on return."""
        self._counters_fd = counters.create()
        quick_deaths = 0
        try:
            while True:
                started_s = time.monotonic()
                await self._run_one()
                quick_deaths = quick_deaths + 1 if time.monotonic() - started_s < QUICK_DEATH_S else 0
                self.restarts += 1
                self._on_event(MediaDied(self.restarts))
                await asyncio.sleep(BACKOFF_S[min(quick_deaths, len(BACKOFF_S) - 1)])
        finally:
            self._forget_call()
            self._prompts.close()
            os.close(self._counters_fd)
            self._counters_fd = -1

    async def wait_ready(self) -> None:
        """Wait until a media process runs and has answered."""
        await self._ready.wait()

    def prepare(self, setup: AudioSetup) -> None:
        """Have each process load, while it idles, what calls with this setup need: a second or two on a small board."""
        if voice_wanted(setup):
            self._prepared = setup
            self.send(wire.pack("prepare", setup=vars(setup)))

    def set_volume(self, *, speaker_percent: int, microphone_percent: int) -> None:
        """Our own volumes (`agent.media.volume`) of this call and those to come, for cards that have none."""
        self.percents = (speaker_percent, microphone_percent)
        if self._call is not None:
            self._call.setup = at_volume(self._call.setup, self.percents)
            self.send(wire.pack("volume", speaker=speaker_percent, microphone=microphone_percent))

    async def open_audio(self, setup: AudioSetup, *, muted: bool) -> None:
        """Open microphone and speaker. Returns when they are open, or when `AudioFailed` has said why not. Raises
        ValueError when Opus cannot take the rate, or there is no such tone plan."""
        check(setup)
        self._forget_call()
        call = self._call = HeldCall(at_volume(setup, self.percents), muted, shut=self.microphone_shut)
        self._heard_s = time.monotonic()  # without a call there was nothing to say: it has not hung
        self._stats = MediaStats()
        try:
            await self.ask("opened", call.open_message)
        except TimeoutError:
            if self._call is call:  # else others are being opened instead
                text = f"the sound devices did not open within {REPLY_TIMEOUT_S:.0f} s"
                self._on_event(AudioFailed(text, "microphone" if setup.capture else "speaker"))  # as they are opened

    async def connect(self, transport: TransportSetup, fd: int) -> None:
        """Give the media process the call's socket; all its RTP and RTCP are the media process's from now on.

        The descriptor is duplicated; the caller keeps its own and must not read from it. Called again with the
        same keys (another candidate pair) the streams go on. Raises ValueError for impossible keys, MediaError
        when audio is not open or the media process refuses.
        """
        srtp.check(transport.keys)
        call = self._call
        if call is None:
            raise MediaError("connect: audio is not open; call open_audio first")
        call.take_transport(transport, fd)
        try:
            reply = await self.ask("connected", call.connect_message, call.fd)
        except TimeoutError:
            raise MediaError("the media process did not take the call's socket") from None
        if error := reply.get("error"):
            raise MediaError(error)
        if self._call is call and call.prompt is not None and call.prompt.began_s is None:
            self._send_prompt(call)

    def add_source(self, address: tuple[str, int]) -> None:
        """ICE has found the far end at another address too: RTP is taken from there as well."""
        if self._call is not None and self._call.transport is not None:
            self._call.add_source(address)
            self.send(wire.pack("source", address=address))

    async def set_muted(self, muted: bool) -> None:
        """Send silence in place of the microphone, or end that."""
        if self._call is not None:
            self._call.muted = muted
            self.send(wire.pack("mute", muted=muted))

    def shut_microphone(self, *, shut: bool) -> None:
        """Keep the microphone's device closed, in this call and all that come, whatever else is asked for."""
        self.microphone_shut = shut
        if self._call is not None:
            self._call.shut = shut
            self.send(wire.pack("shut", shut=shut))

    async def set_deaf(self, deaf: bool) -> None:
        """Play silence in place of the far end, or end that. Packets are received and counted all the same."""
        if self._call is not None:
            self._call.deaf = deaf
            self.send(wire.pack("deaf", deaf=deaf))

    async def send_dtmf(self, digits: str) -> None:
        """Send digits as telephone events (RFC 4733), one after the other, behind those that are being sent.

        Returns at once. Each is heard quietly in the speaker as it is sent. A media process that dies takes the
        digits it has not sent with it. Raises MediaError when one of them is no key of a telephone, when there is no
        path, or when the far end takes no events.
        """
        try:
            digits = events(self._call, digits)
        except ValueError as error:
            raise MediaError(f"dtmf: {error}") from None
        self.send(wire.pack("digits", digits=digits))

    async def play_tone(self, name: str | None) -> None:
        """Mix a tone of `agent.media.tones` into the speaker, in place of the present one; None: stop it.

        What repeats goes on after a restart. Raises MediaError when audio is not open or there is no such tone.
        """
        if self._call is None:
            if name is None:
                return
            raise MediaError(f"tone {name!r}: audio is not open; call open_audio first")
        try:
            self._call.take_tone(name)
        except ValueError as error:
            raise MediaError(str(error)) from None
        self.send(wire.pack("tone", name=name))

    async def play_key(self, digit: str) -> None:
        """The short sound of a key in the speaker, for digits that leave by another way. `digit` is a telephone's."""
        if self._call is not None:
            self.send(wire.pack("key", digit=telephone_event.check(digit)))

    async def load_prompt(self, path: str, rate_hz: int) -> float:
        """Have a WAV file ready; how many seconds it is long. Raises MediaError that names file and cure."""
        recording = await self._load_prompt(path, rate_hz)
        recording.close()
        return recording.duration_s

    async def play_prompt(self, path: str, to: PromptTo = "speaker", *, loop: bool = False) -> float:
        """Play a WAV file in place of the prompt that plays; how many seconds it is long. Returns as it begins.

        What the far end is to hear waits for the path to it, and is heard also while the microphone is muted. After a
        restart of the media process it goes on where it would have been. Raises MediaError when audio is not open, the
        file cannot be played, or the call sends nothing to a far end that is to hear it.
        """
        call = self._call
        if call is None:
            raise MediaError("prompt: audio is not open; call open_audio first")
        if to != "speaker" and not call.speaks:
            raise MediaError("prompt: the call only listens, so the far end hears nothing; play it in the speaker")
        call.prompt_wishes += 1
        wish = call.prompt_wishes
        recording = await self._load_prompt(path, call.setup.rate_hz)
        if self._call is call and call.prompt_wishes == wish:
            call.take_prompt(HeldPrompt(recording, to, loop))
            self._send_prompt(call)
        else:
            recording.close()  # meanwhile the call has ended, or another one was asked for
        return recording.duration_s

    async def stop_prompt(self) -> None:
        """Fade out the prompt that plays, if one does."""
        if self._call is not None:
            self._call.prompt_wishes += 1
            self._call.take_prompt(None)
            self.send(wire.pack("stop_prompt"))

    async def close_audio(self) -> MediaStats:
        """Say BYE, close the devices, return the call's final figures (the last known ones after a death)."""
        if self._call is None:
            return self._stats
        self._forget_call()
        with contextlib.suppress(TimeoutError):
            reply = await self.ask("closed", lambda: wire.pack("close"))
            if reply.get("stats"):
                self._stats = wire.stats_of(reply["stats"])
        return self._stats

    async def ping(self) -> None:
        """Returns when the media thread has answered. Raises TimeoutError when it does not."""
        number = next(self._ping_ids)
        await self.ask(f"pong {number}", lambda: wire.pack("ping", id=number), timeout_s=PING_TIMEOUT_S)

    async def _run_one(self) -> None:
        """Start a process, serve it until it ends."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                process = start_media_process(self._python, theirs, self._counters_fd)
            ours.setblocking(False)
            self._gone = asyncio.Event()
            self._socket, self.pid = ours, process.pid
            self._heard_s = time.monotonic()
            loop.add_reader(ours, self._read, ours)
            try:
                await self._watch()
            finally:
                self._ready.clear()
                self._socket, self.pid = None, None
                if not self._gone.is_set():
                    with contextlib.suppress(OSError):
                        ours.shutdown(socket.SHUT_WR)  # the process says BYE, ends, and closes its side
                    # wait_for and not timeout(): this task is being cancelled, and there the latter ends in
                    # CancelledError on Python 3.11.2, the one of Raspberry Pi OS bookworm.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._gone.wait(), STOP_S)
                loop.remove_reader(ours)
                process.kill()  # no effect on one that has ended by itself
                process.wait()

    async def _watch(self) -> None:
        """Until the process is gone; one that hangs in a call is made to go."""
        left_s = STALL_S
        while not self._gone.is_set():
            try:
                async with asyncio.timeout(left_s):
                    await self._gone.wait()
            except TimeoutError:
                left_s = STALL_S
                if self._call is not None:
                    left_s -= time.monotonic() - self._heard_s
                if left_s <= 0 and self.pid:
                    logger.error("the audio thread has hung for %.0f s: replacing it", STALL_S)
                    os.kill(self.pid, 9)
                    left_s = STALL_S

    def _read(self, ours: socket.socket) -> None:
        for _ in range(MAX_MESSAGES_A_TURN):
            try:
                message = ours.recv(wire.MAX_MESSAGE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._gone.set()
                return
            self._heard_s = time.monotonic()
            if message[0] == wire.DATAGRAM:
                self._on_event(Datagram(*wire.unpack_datagram(message)))
            else:
                self._take(wire.unpack(message))

    def _take(self, message: wire.Message) -> None:
        match message["type"]:
            case "ready":
                self._resume_call()
                if self._prepared is not None and self._call is None:
                    self.send(wire.pack("prepare", setup=vars(self._prepared)))
                self._ready.set()
                self._on_event(MediaReady())
            case "opened":
                self._on_event(AudioOpened(message["rate_hz"], message["period_frames"]))
                self._reply("opened", message)
            case "failed":
                self._on_event(AudioFailed(message["text"], message["part"]))
                self._reply("opened", message)
            case "stats":
                self._stats = wire.stats_of(message["stats"])
                self._on_event(StatsReport(self._stats))
            case "dtmf":
                self._on_event(DtmfReceived(message["digit"], message["source"]))
            case "pong":
                self._reply(f"pong {message['id']}", message)
            case "note":
                logger.warning("media process: %s", message["text"])
            case name:
                self._reply(name, message)

    def _resume_call(self) -> None:
        """Give a newly started process the call that the dead one had."""
        call = self._call
        if call is None:
            self._reply("closed", {})
            return
        self.send(call.open_message())
        if call.transport is not None:
            self.send(call.connect_message(), call.fd)
        self._send_prompt(call)

    def _send_prompt(self, call: HeldCall) -> None:
        if (message := call.prompt_message()) is not None and call.prompt is not None:
            self.send(message, call.prompt.recording.fd)

    async def _load_prompt(self, path: str, rate_hz: int) -> Recording:
        """Beside the event loop: converting takes a while."""
        try:
            return await asyncio.to_thread(self._prompts.load, path, rate_hz)
        except PromptError as error:
            raise MediaError(f"prompt {error}") from None

    async def ask(
        self, reply: str, message: Callable[[], bytes], fd: int = -1, timeout_s: float = REPLY_TIMEOUT_S
    ) -> wire.Message:
        """Send and wait for the reply; when the process dies in between, for its successor's. Who asked the same
        before gets an empty one: what is still to come is for this one."""
        future: asyncio.Future[wire.Message] = asyncio.get_running_loop().create_future()
        self._reply(reply, {})
        self._replies[reply] = future
        try:
            if self._ready.is_set():
                self.send(message(), fd)
            return await asyncio.wait_for(future, timeout_s)  # also works in a task that is being cancelled
        finally:
            if self._replies.get(reply) is future:
                del self._replies[reply]

    def _reply(self, name: str, message: wire.Message) -> None:
        if (future := self._replies.get(name)) is not None and not future.done():
            future.set_result(message)

    def send(self, message: bytes, fd: int = -1) -> None:
        if self._socket is None:
            return  # the next process is told everything when it is ready
        try:
            if fd >= 0:
                socket.send_fds(self._socket, [message], [fd])
            else:
                self._socket.send(message)
        except OSError as error:  # gone, or so long hung that the socket is full: either way it is replaced
            logger.warning("media process: not reachable (%s)", error.strerror)
            if self.pid is not None:
                os.kill(self.pid, 9)

    def _forget_call(self) -> None:
        if self._call is not None:
            self._call.close()
        self._call = None
