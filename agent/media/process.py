"""The media process: `python -m agent.media.process CONTROL_FD COUNTERS_FD`, started by `agent.media.control`.

One thread. Without a call it sleeps in `recv` on the control socket. In a call the sound card wakes it once a
period, and it looks at everything else then: the call's socket, the control socket, the reports that are due.
It ends when the control socket closes, so it never outlives the daemon.
"""

from __future__ import annotations

import array
import contextlib
import gc
import os
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from agent.media import wire
from agent.media.codecs.opus import CodecError, library
from agent.media.counters import Counters, Totals
from agent.media.engine import Engine
from agent.media.messages import voice_wanted
from agent.media.packets import SocketPackets
from agent.media.realtime import lock_memory, take_priority
from agent.media.volume import Volume

if TYPE_CHECKING:
    from agent.media.asides import Asides
    from agent.media.messages import AudioSetup, MediaStats
    from agent.media.mixer import SpeakerMixer
    from agent.media.packets import Address
    from agent.media.self_test import SelfTest
    from agent.media.sound import Sound
    from agent.media.voice.processor import VoiceProcessor

STATS_INTERVAL_S = 1.0
CONTROL_TURNS = 2  # nothing the control process says is more urgent than 20 ms
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
        self._voice: VoiceProcessor | None = None
        self._gain = Volume()  # of the microphone
        self._test: SelfTest | None = None
        self._lacking: set[str] = set()  # what the journal has been told that this board lacks
        self._alive = True

    def run(self) -> None:
        self._send(wire.pack("ready"))
        _load_for_calls()
        while self._alive:
            self._receive()
            if self._sound is not None and self._engine is not None and self._mixer is not None:
                self._call(self._sound, self._engine, self._mixer)
            if self._test is not None:
                self._run_test(self._test)

    def _call(self, sound: Sound, engine: Engine, mixer: SpeakerMixer) -> None:
        """The loop of a call, one turn a period. Ends when this sound is closed."""
        read, write, tick, mix, asides = sound.read, sound.write, engine.tick, mixer.mix, self._asides
        gain = self._gain
        voice, poll, monotonic = self._voice, self._poll.poll, time.monotonic
        stats_s = monotonic() + STATS_INTERVAL_S
        turn = 0
        while self._sound is sound:
            mic = read()
            now_s = monotonic()
            if voice is not None:
                mic = voice.process(mic)  # also while muted: the canceller must stay what it has become
            if not gain.is_full:  # behind the canceller, which would have to learn the room anew
                mic = gain.apply(mic)
            far_end = _announce(engine, mixer, mic, now_s) if mixer.announcing else tick(mic, now_s)
            heard_mic = b"" if engine.muted else mic  # who is muted does not hear themselves either
            written = write(mix(far_end, heard_mic))
            if voice is not None:
                interrupted = sound.interrupted()
                voice.played(written, sound.queued_frames, interrupted=interrupted)
            if asides is not None:
                asides.write(far_end, heard_mic)
            turn += 1
            if turn % CONTROL_TURNS:
                continue
            if poll(0):
                self._receive()
            if now_s >= stats_s:
                stats_s = max(stats_s, now_s - STATS_INTERVAL_S) + STATS_INTERVAL_S  # never several in a row
                self._send(wire.pack("stats", stats=vars(self._stats(sound, engine))))
            elif self._waiting:
                self._flush()

    def _stats(self, sound: Sound, engine: Engine) -> MediaStats:
        engine.totals.add(sound.take_counts()._asdict())
        stats = engine.stats(time.monotonic())
        if self._voice is not None:
            stats.erle_db, stats.echo_delay_ms, stats.echo_stage = self._voice.figures()
        return stats

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
            case "shut" if self._sound is not None:
                self._sound.shut_microphone(shut=message["shut"])
            case "prompt":
                self._play_prompt(message, descriptors[0])
            case "close":
                self._send(wire.pack("closed", stats=self._close()))
            case "prepare":
                self._prepare(message)
            case "self_test":
                self._begin_test(message)
            case "end_self_test":
                self._end_test()
            case "ping":
                self._send(wire.pack("pong", id=message["id"]))
            case "volume" if self._mixer is not None:
                self._gain.set(message["microphone"])
                self._mixer.volume.set(message["speaker"])
            case _ if self._engine is not None and self._mixer is not None:
                _adjust(self._engine, self._mixer, message)

    def _open(self, message: wire.Message) -> None:
        from agent.media.mixer import SpeakerMixer  # noqa: PLC0415 - loaded by `_load_for_calls`
        from agent.media.sound import Sound  # noqa: PLC0415 - the same

        self._close()
        setup = wire.audio_of(message["setup"])
        beside = bool(setup.sidetone) and setup.sidetone != setup.playback
        mixer = self._mixer = SpeakerMixer(
            setup.rate_hz,
            plan=setup.tone_plan,
            volume_db=setup.tone_volume_db,
            sidetone=bool(setup.sidetone) and not beside,
            channels=setup.channels,
            volume_percent=setup.speaker_percent,
        )
        self._gain = Volume(setup.microphone_percent)
        if message["tone"] is not None:
            mixer.play(message["tone"])
        self._engine = Engine(
            setup.rate_hz,
            setup.period_frames,
            self._counters,
            self._forward,
            channels=setup.channels,
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
            failed=lambda part, text: self._send(wire.pack("failed", part=part, text=text)),
            shut=message["shut"],
        )
        if voice_wanted(setup):
            self._voice = self._make_voice(setup)
        self._sound.open()
        if setup.record or beside:
            from agent.media.asides import Asides  # noqa: PLC0415 - few calls have one

            self._asides = Asides(setup, resumed=message["resumed"], note=self._note)
        self._lacks(lock_memory())
        gc.collect()
        gc.freeze()
        gc.disable()  # the call allocates in steady state what it frees; a collection would be a late period

    def _make_voice(self, setup: AudioSetup) -> VoiceProcessor | None:
        """None, and a note, where it cannot be had; the call goes on without."""
        if setup.channels > 1:
            self._note("stereo: no echo canceller, noise suppression or gain control, which work on one channel")
            return None
        lost = "no echo canceller, noise suppression or gain control"
        try:
            from agent.media.voice.processor import VoiceProcessor  # noqa: PLC0415 - needs numpy: only calls that want it

            return VoiceProcessor(setup, note=self._note, lacks=self._lacks)
        except ImportError as error:
            self._lacks(f"{lost}: {error}; pip install numpy")
        except (RuntimeError, ValueError) as error:  # numpy on a processor that it was not built for; a library's no
            self._lacks(f"{lost}: {error}; set them to off in audio, or mend that")
        return None

    def _lacks(self, text: str) -> None:
        """Told once, not with each call: nothing changes while this process lives. Nothing, when it lacks nothing."""
        if text and text not in self._lacking:
            self._lacking.add(text)
            self._note(text)

    def _prepare(self, message: wire.Message) -> None:
        """Load what calls will need, while there is none: never at the press."""
        if self._sound is None:
            voice = self._make_voice(wire.audio_of(message["setup"]))
            if voice is not None:
                voice.close()

    def _begin_test(self, message: wire.Message) -> None:
        from agent.media.self_test import SelfTest  # noqa: PLC0415 - not for being ready

        self._close()
        self._test = SelfTest(wire.audio_of(message["setup"]), message["level_dbfs"])
        self._test.open()

    def _run_test(self, test: SelfTest) -> None:
        """The loop of a self-test. Whatever opens or closes the sound devices ends it."""
        turn = 0
        while self._test is test and test.turn():
            turn += 1
            if turn % CONTROL_TURNS == 0 and self._poll.poll(0):
                self._receive()
        self._end_test()

    def _end_test(self) -> None:
        test, self._test = self._test, None
        if test is not None:
            test.close()
            self._send(wire.pack("self_tested", figures=test.figures()))

    def _connect(self, message: wire.Message, descriptor: int) -> None:
        setup = wire.transport_of(message["transport"])
        packets = SocketPackets(descriptor, setup.remote, setup.sources)
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

    def _play_prompt(self, message: wire.Message, descriptor: int) -> None:
        import mmap  # noqa: PLC0415 - few calls have a prompt

        try:
            if self._mixer is not None:
                samples = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
                begin = message["start_frame"]
                self._mixer.play_prompt(samples, message["to"], loop=message["loop"], start_frame=begin)
        finally:
            os.close(descriptor)

    def _close(self) -> dict[str, object]:
        """End the call if there is one; returns its final figures. A self-test ends as well."""
        self._end_test()
        stats: dict[str, object] = {}
        if self._sound is not None and self._engine is not None:
            stats = dict(vars(self._stats(self._sound, self._engine)))
            self._engine.close(time.monotonic())
            self._sound.close()
            gc.enable()
            gc.unfreeze()
        if self._asides is not None:
            self._asides.close()
        if self._voice is not None:
            self._voice.close()
            self._voice = None
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
        case "key":
            mixer.press(message["digit"])
        case "source":
            engine.add_source((message["address"][0], message["address"][1]))
        case "tone":
            mixer.play(message["name"])
        case "stop_prompt":
            mixer.stop_prompt()


def _load_for_calls() -> None:
    """What any call needs and being ready does not. At the press it would cost 40 ms, several times that on a Pi.

    What is missing is told by the call that misses it.
    """
    with contextlib.suppress(ImportError):
        import agent.media.mixer  # noqa: PLC0415 - after "ready"
        import agent.media.sound  # noqa: F401, PLC0415 - the same
        import hardware.alsa  # noqa: F401, PLC0415 - the same
    with contextlib.suppress(CodecError):
        library()


def _announce(engine: Engine, mixer: SpeakerMixer, mic: bytes, now_s: float) -> bytes:
    """A tick while the far end hears a prompt: also one who is muted plays it."""
    engine.announcing = True
    far_end = engine.tick(mixer.to_far_end(bytes(len(mic)) if engine.muted else mic), now_s)
    engine.announcing = mixer.announcing
    return far_end


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
    if refusal := take_priority():
        control.send(wire.pack("note", text=refusal))
    server.run()


if __name__ == "__main__":
    main()
