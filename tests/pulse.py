"""A private, headless PulseAudio: a sound card with a real clock for tests, without hardware.

    with PulseHost(tmp_path) as pulse:
        subprocess.Popen([...], env=pulse.env)   # the daemon, with capture "mic" and playback "speaker"

ALSA device names inside (they exist only where `pulse.env` is set):

    mic       what the daemon captures           micfeed   play here = speak into the microphone
    speaker   where the daemon plays             spkmon    record here = hear the speaker

For ALSA in the test's own process use `with pulse.in_this_process():`. Everything is 48 kHz mono, or stereo with
`PulseHost(tmp_path, channels=2)`.
Runs as root and as any user; needs `pulseaudio` and ALSA's pulse plugin (Debian: libasound2-plugins).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

START_GUARD_S = 20.0  # a start takes well under two seconds; this only ends a test that would hang
# Without a client for so long it ends itself, so that a killed test run leaves nothing behind.
EXIT_IDLE_S = 300

# norewinds: an idle null sink otherwise falls back to two seconds of latency; the first read would take as long, and
# the first words of a call would be lost.
DEFAULT_PA = """\
load-module module-null-sink sink_name=spk rate=48000 {channels} norewinds=1
load-module module-null-sink sink_name=micfeed rate=48000 {channels} norewinds=1
set-default-sink spk
set-default-source micfeed.monitor
load-module module-native-protocol-unix socket={socket} auth-anonymous=1
"""

CHANNELS = {1: "channels=1 channel_map=mono", 2: "channels=2 channel_map=front-left,front-right"}

ALSA_CONF = """\
</usr/share/alsa/alsa.conf>
pcm.speaker {{ type pulse server "unix:{socket}" device spk }}
pcm.mic     {{ type pulse server "unix:{socket}" device micfeed.monitor }}
pcm.micfeed {{ type pulse server "unix:{socket}" device micfeed }}
pcm.spkmon  {{ type pulse server "unix:{socket}" device spk.monitor }}
"""


def missing() -> str | None:
    """Why a PulseHost cannot run here (for `pytest.mark.skipif`), or None."""
    if shutil.which("pulseaudio") is None:
        return "pulseaudio is not installed (apt install pulseaudio)"
    if not list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")):
        return "ALSA's pulse plugin is not installed (apt install libasound2-plugins)"
    return None


class PulseHost:
    """Start in `folder` (made when missing), stop at the end of the `with` block."""

    mic = "mic"
    speaker = "speaker"
    micfeed = "micfeed"
    spkmon = "spkmon"

    def __init__(self, folder: Path, channels: int = 1) -> None:
        self.folder = folder
        self._channels = channels
        self.alsa_conf = folder / "asound.conf"
        self._socket = folder / "native"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> dict[str, str]:
        """The environment for a child process that shall see the devices."""
        return {**os.environ, "ALSA_CONFIG_PATH": str(self.alsa_conf)}

    @contextlib.contextmanager
    def in_this_process(self) -> Iterator[None]:
        """ALSA calls of this process see the devices inside this block."""
        before = os.environ.get("ALSA_CONFIG_PATH")
        os.environ["ALSA_CONFIG_PATH"] = str(self.alsa_conf)
        try:
            yield
        finally:
            if before is None:
                del os.environ["ALSA_CONFIG_PATH"]
            else:
                os.environ["ALSA_CONFIG_PATH"] = before

    def __enter__(self) -> PulseHost:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        script = self.folder / "default.pa"
        script.write_text(DEFAULT_PA.format(socket=self._socket, channels=CHANNELS[self._channels]))
        self.alsa_conf.write_text(ALSA_CONF.format(socket=self._socket))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            (self.folder / "notify").unlink(missing_ok=True)
            notify.bind(str(self.folder / "notify"))
            self._start(script)
            self._wait_ready(notify)
        return self

    def _start(self, script: Path) -> None:
        home = str(self.folder)
        private = {"HOME": home, "XDG_RUNTIME_DIR": home, "XDG_CONFIG_HOME": home, "PULSE_RUNTIME_PATH": home}
        with (self.folder / "pulse.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["pulseaudio", "--daemonize=no", "-n", "-F", str(script), f"--exit-idle-time={EXIT_IDLE_S}",
                 "--use-pid-file=no", "--disable-shm=yes", "--system=no", "--fail", "--log-level=warn"],
                env={**os.environ, **private, "NOTIFY_SOCKET": str(self.folder / "notify")},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _wait_ready(self, notify: socket.socket) -> None:
        """PulseAudio says READY=1 (sd_notify) when the whole script has run."""
        notify.settimeout(START_GUARD_S)
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
        except TimeoutError:
            self.stop()
            raise RuntimeError(f"pulseaudio did not start: {(self.folder / 'pulse.log').read_text()}") from None

    def stop(self) -> None:
        """End the server: what unplugging the card looks like to its users."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
