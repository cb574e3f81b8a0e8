"""The media process: `python -m agent.media.process CONTROL_FD COUNTERS_FD`, started by `agent.media.control`.

One thread. Without a call it sleeps in `recv` on the control socket. In a call the sound card wakes it once a
period, and it looks at everything else then: the call's socket, the control socket, the reports that are due.
It ends when the control socket closes, so it never outlives the daemon.
"""

from __future__ import annotations

import array
import gc
import os
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from agent.media import wire
from agent.media.counters import Counters, Totals
from agent.media.engine import Engine
from agent.media.opus import CodecError
from agent.media.packets import SocketPackets

if TYPE_CHECKING:
    from agent.media.asides import Asides
    from agent.media.messages import MediaStats
    from agent.media.mixer import SpeakerMixer
    from agent.media.packets import Address
    from agent.media.sound import Sound

STATS_INTERVAL_S = 1.0
CONTROL_TURNS = 2  # nothing the control process says is more urgent than 20 ms
RT_PRIORITY = 10  # above everything that is not real-time, below the kernel's interrupt threads (50)
MAX_WAITING_MESSAGES = 64  # when the control process does not read: replies wait, datagrams are lost


class MediaServer:
    """Serves the control process until it goes away. At most one call at a time."""

    def __init__(self, control: socket.socket, counters: Counters) -> None:
        self._control = control
        self._counters = counters
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._waiting: list[bytes] = []
        self._sound: Sound | None = None
        self._mixer: SpeakerMixer | None = None
        self._asides: Asides | None = None
        self._engine: Engine | None = None
        self._alive = True

    def run(self) -> None:
        self._send(wire.pack("ready"))
        while self._alive:
            self._receive()
            if self._sound is not None and self._engine is not None and self._mixer is not None:
                self._call(self._sound, self._engine, self._mixer)

    def _call(self, sound: Sound, engine: Engine, mixer: SpeakerMixer) -> None:
        """The loop of a call, one turn a period. Ends when this sound is closed."""
        read, write, tick, mix, asides = sound.read, sound.write, engine.tick, mixer.mix, self._asides
        poll, monotonic = self._poll.poll, time.monotonic
        stats_s = monotonic() + STATS_INTERVAL_S
        turn = 0
        while self._sound is sound:
            mic = read()
            now_s = monotonic()
            far_end = tick(mic, now_s)
            heard_mic = b"" if engine.muted else mic  # who is muted does not hear themselves either
            write(mix(far_end, heard_mic))
            if asides is not None:
                asides.write(far_end, heard_mic)
            turn += 1
            if turn % CONTROL_TURNS:
                continue
            if poll(0):
                self._receive()
            if now_s >= stats_s:
                stats_s += STATS_INTERVAL_S
                self._send(wire.pack("stats", stats=vars(self._stats(sound, engine))))
            elif self._waiting:
                self._flush()

    def _stats(self, sound: Sound, engine: Engine) -> MediaStats:
        capture_xruns, playback_xruns, corrections = sound.take_counts()
        engine.totals.capture_xruns += capture_xruns
        engine.totals.playback_xruns += playback_xruns
        engine.totals.playback_corrections += corrections
        return engine.stats(time.monotonic())

    def _receive(self) -> None:
        data, descriptors = _receive_message(self._control)
        if not data:
            self._alive = False
            self._close()
            return
        message = wire.unpack(data)
        match message["type"]:
            case "open":
                self._open(message)
            case "connect":
                self._connect(message, descriptors[0])
            case "close":
                self._send(wire.pack("closed", stats=self._close()))
            case "ping":
                self._send(wire.pack("pong", id=message["id"]))
            case _ if self._engine is not None and self._mixer is not None:
                _adjust(self._engine, self._mixer, message)

    def _open(self, message: wire.Message) -> None:
        from agent.media.mixer import SpeakerMixer  # noqa: PLC0415 - needed for a call, not for being ready
        from agent.media.sound import Sound  # noqa: PLC0415 - the same

        self._close()
        setup = wire.audio_of(message["setup"])
        beside = bool(setup.sidetone) and setup.sidetone != setup.playback
        mixer = self._mixer = SpeakerMixer(
            setup.rate_hz, plan=setup.tone_plan, sidetone=bool(setup.sidetone) and not beside
        )
        if message["tone"] is not None:
            mixer.play(message["tone"])
        self._engine = Engine(
            setup.rate_hz,
            setup.period_frames,
            self._counters,
            self._forward,
            totals=self._counters.load() if message["resumed"] else Totals(),
            muted=message["muted"],
            deaf=message["deaf"],
            detect_dtmf=setup.detect_dtmf,
            on_digit=mixer.press,
            on_dtmf=lambda digit, source: self._send(wire.pack("dtmf", digit=digit, source=source)),
        )
        self._sound = Sound(
            setup,
            opened=lambda: self._send(wire.pack("opened", rate_hz=setup.rate_hz, period_frames=setup.period_frames)),
            failed=lambda text: self._send(wire.pack("failed", text=text)),
        )
        self._sound.open()
        if setup.channels > 1:
            self._note("stereo is asked for: one channel is sent, and what the far end sends in two is mixed into one")
        if setup.record or beside:
            from agent.media.asides import Asides  # noqa: PLC0415 - few calls have one

            self._asides = Asides(setup, resumed=message["resumed"], note=self._note)
        gc.collect()
        gc.freeze()
        gc.disable()  # the call allocates in steady state what it frees; a collection would be a late period

    def _connect(self, message: wire.Message, descriptor: int) -> None:
        setup = wire.transport_of(message["transport"])
        packets = SocketPackets(descriptor, setup.remote)
        error = "audio is not open"
        if self._engine is not None:
            try:
                self._engine.connect(setup, bytes.fromhex(message["key_id"]), packets, time.monotonic())
                error = ""
            except (CodecError, ValueError) as problem:
                error = str(problem)
        if error:
            packets.close()
        self._send(wire.pack("connected", error=error))

    def _close(self) -> dict[str, object]:
        """End the call if there is one; returns its final figures."""
        stats: dict[str, object] = {}
        if self._sound is not None and self._engine is not None:
            stats = dict(vars(self._stats(self._sound, self._engine)))
            self._engine.close(time.monotonic())
            self._sound.close()
            gc.enable()
            gc.unfreeze()
        if self._asides is not None:
            self._asides.close()
        self._sound = self._engine = self._mixer = self._asides = None
        return stats

    def _forward(self, data: bytes, address: Address) -> None:
        if not self._waiting:
            self._send(wire.pack_datagram(data, address))

    def _note(self, text: str) -> None:
        self._send(wire.pack("note", text=text))

    def _send(self, message: bytes) -> None:
        """Send without ever blocking the audio: what the control process has no room for waits a period."""
        if len(self._waiting) < MAX_WAITING_MESSAGES:
            self._waiting.append(message)
        self._flush()

    def _flush(self) -> None:
        flags = 0 if self._sound is None else socket.MSG_DONTWAIT
        try:
            while self._waiting:
                self._control.send(self._waiting[0], flags)
                del self._waiting[0]
        except BlockingIOError:
            return
        except OSError:  # the control process is gone; the next receive says so
            self._waiting.clear()


def _adjust(engine: Engine, mixer: SpeakerMixer, message: wire.Message) -> None:
    """What changes in a call."""
    match message["type"]:
        case "mute":
            engine.muted = message["muted"]
        case "deaf":
            engine.deaf = message["deaf"]
        case "digits":
            engine.send_digits(message["digits"])
        case "tone":
            mixer.play(message["name"])


def _receive_message(control: socket.socket) -> tuple[bytes, list[int]]:
    """One message and its descriptors; b"" when the other end has closed."""
    try:
        data, ancillary, _, _ = control.recvmsg(wire.MAX_MESSAGE_BYTES, socket.CMSG_SPACE(4))
    except ConnectionError:
        return b"", []
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content)
    return data, descriptors.tolist()


def main() -> None:
    # The daemon decides when to stop: Ctrl-C and systemd's SIGTERM reach the whole group, and the BYE must still leave.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    counters_fd = int(sys.argv[2])
    counters = Counters(counters_fd)
    os.close(counters_fd)
    server = MediaServer(control, counters)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(RT_PRIORITY))
    except OSError as error:
        text = f"no real-time priority ({error.strerror}): set LimitRTPRIO={RT_PRIORITY} in the service's unit"
        control.send(wire.pack("note", text=text))
    server.run()


if __name__ == "__main__":
    main()
