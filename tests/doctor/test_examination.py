"""Sound, pins and network, and all checks together."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli.doctor import doctor
from agent.doctor.examination import Probes, examine, servers
from agent.doctor.finding import Finding, Level
from agent.doctor.network import Server, check_server, connect
from agent.settings.load import parse_config
from agent.settings.model import Config
from hardware.mixer import Control, MixerError
from tests.boards import HDMI, JABRA, PI4, VOICEHAT, board, write

CONFIG = """
[device]
id = "door"
[lines.office]
dialect = "verto"
host = "wss://pbx.example.com"
login = "1008"
password = "hush-hush"
[targets.reception]
destinationNumber = "1001"
[buttons.bell]
gpio = 17
press = { target = "reception" }
[lamps.status]
gpio = 27
[mqtt]
host = "broker.example.com"
tls = true
"""
USB = (Control("PCM", playback=70, switch=True), Control("Mic", capture=60, switch=True))


def reach(_: Server) -> None:
    """Everything can be reached."""


def probes(
    controls: Sequence[Control] = USB, used: dict[int, str] | None = None, refusal: OSError | None = None
) -> Probes:
    def connect(_: Server) -> None:
        if refusal is not None:
            raise refusal

    return Probes(
        controls=lambda _: controls,
        used_lines=lambda: used or {},
        power_save=lambda _: False,
        connect=connect,
        now_s=lambda: 1_790_000_000.0,
    )


def config(text: str = CONFIG) -> Config:
    return parse_config(text, Path.cwd())


def found(root: Path, settings: Config | None, probed: Probes) -> dict[str, list[Finding]]:
    by_check: dict[str, list[Finding]] = {}
    for finding in examine(settings, root / "callpoint.toml", root=root, probes=probed):
        by_check.setdefault(finding.check, []).append(finding)
    return by_check


def test_a_good_device_has_no_problem_and_says_what_is_used(tmp_path: Path) -> None:
    checks = found(board(tmp_path, PI4, HDMI, JABRA), config(), probes(used={17: "lg", 27: "lg"}))
    assert [each for row in checks.values() for each in row if each.level is Level.PROBLEM] == []
    assert checks["profile"][0].text == "usb-speakerphone: microphone usb, speaker usb"
    assert checks["speaker"][0].text == "USB, volume by PCM: 70 %"
    assert checks["microphone"][0].text == "USB, volume by Mic: 60 %"
    assert checks["pins"][0].text == "2 in use, 24 free"
    assert checks["line office"][0].text == "pbx.example.com:443 answers, its certificate is good"
    assert checks["mqtt"][0].text == "broker.example.com:8883 answers, its certificate is good"


def test_without_a_card_the_cure_is_named(tmp_path: Path) -> None:
    root = board(tmp_path, PI4, HDMI, config_txt="dtoverlay=googlevoicehat-soundcard\n")
    checks = found(root, config(), probes())
    overlay, microphone = checks["sound card"]
    assert overlay.level is microphone.level is Level.PROBLEM
    assert overlay.text.startswith("dtoverlay=googlevoicehat-soundcard is there, and no sound card")
    assert microphone.text == "none has a microphone (cards: vc4hdmi0)"


def test_a_muted_speaker_a_silent_mixer_and_none_at_all_are_told(tmp_path: Path) -> None:
    root = board(tmp_path, PI4, JABRA)
    muted = probes((Control("PCM", playback=70, switch=False), USB[1]))
    assert found(root, config(), muted)["speaker"][0].text == "PCM of USB is muted"
    voicehat = board(tmp_path / "hat", PI4, VOICEHAT)
    note = found(voicehat, config(), probes(()))["speaker"][0]
    assert (note.level, "ours is used" in note.text) == (Level.NOTE, True)

    def refuse(_: str) -> Sequence[Control]:
        raise MixerError("the mixer of hw:CARD=USB does not open: Permission denied")

    refused = found(root, None, Probes(controls=refuse, used_lines=dict, power_save=lambda _: None))
    assert refused["speaker"][0].level is Level.PROBLEM
    assert "group audio" in refused["speaker"][0].cure


def test_pins_that_something_else_has_are_problems(tmp_path: Path) -> None:
    settings = config(CONFIG.replace("gpio = 17", "gpio = 18"))
    root = board(tmp_path, PI4, VOICEHAT, config_txt="dtoverlay=googlevoicehat-soundcard\n")
    overlay, busy = found(root, settings, probes(used={27: "w1"}))["pins"]
    assert overlay.text == "GPIO 18 is buttons.bell in the config and belongs to dtoverlay=googlevoicehat-soundcard"
    assert busy.text == "GPIO 27 (lamps.status) is held by w1"


@pytest.mark.parametrize(
    ("holder", "level"),
    [
        ("callpoint (pid 812)", Level.OK),
        ("agent.cli (pid 812)", Level.OK),
        ("lg", Level.OK),  # whose it is cannot be seen
        ("blink.py (pid 812)", Level.PROBLEM),
        ("lgd", Level.PROBLEM),
        ("callpoint-led.py (pid 812)", Level.PROBLEM),
    ],
)
def test_a_pin_is_the_daemons_own_or_its_holder_is_named(tmp_path: Path, holder: str, level: Level) -> None:
    (pins,) = found(board(tmp_path, PI4), config(), probes(used={17: holder}))["pins"]
    assert pins.level is level
    assert (f"GPIO 17 (buttons.bell) is held by {holder}" == pins.text) is (level is Level.PROBLEM)


@pytest.mark.parametrize(
    ("kernel", "config_txt", "levels"),
    [
        ("6.12.34+rpt-rpi-v8", "", [Level.NOTE]),
        ("6.6.31-v8-16k+", "dtparam=audio=on\n", [Level.NOTE]),
        ("6.12.34+rpt-rpi-2712", "dtparam=strict_gpiod=off\n", [Level.NOTE]),
        ("6.12.34+rpt-rpi-v8", "[pi5]\ndtparam=strict_gpiod\n", [Level.NOTE]),
        ("6.12.34+rpt-rpi-v8", "dtparam=audio=on,strict_gpiod\n", [Level.OK]),
        ("6.12.34+rpt-rpi-v8", "dtparam=strict_gpiod=on\n", [Level.OK]),
        ("6.1.21-v8+", "", []),  # before they did so
        ("6.12.43-arm64", "", []),  # Debian's kernel gives the pin back
    ],
)
def test_a_relay_on_a_kernel_that_keeps_its_level_needs_strict_gpiod(
    tmp_path: Path, kernel: str, config_txt: str, levels: list[Level]
) -> None:
    root = board(tmp_path, PI4, JABRA, config_txt=config_txt)
    write(root, "proc/sys/kernel/osrelease", f"{kernel}\n")
    settings = config(f"{CONFIG}\n[relays.door]\ngpio = 23\n")
    findings = found(root, settings, probes()).get("relays", [])
    assert [each.level for each in findings] == levels
    assert all("strict_gpiod" in each.cure for each in findings if each.level is Level.NOTE)
    assert "relays" not in found(root, config(), probes())


def certificate(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "no good"
    return error


@pytest.mark.parametrize(
    ("refusal", "text", "cure"),
    [
        (socket.gaierror(-2, "Name or service not known"), "has no address", "is the network up?"),
        (ConnectionRefusedError(111, "refused"), "nobody listens there", "check host and port"),
        (TimeoutError(), "does not answer", "firewall"),
        (certificate(9), "its certificate is refused", "the device's clock is wrong"),
        (certificate(20), "its certificate is refused", "ca_file"),
        (OSError(101, "Network is unreachable"), "Network is unreachable", "check the network"),
    ],
)
def test_a_gateway_that_cannot_be_reached_is_told_with_the_cure(
    tmp_path: Path, refusal: OSError, text: str, cure: str
) -> None:
    (finding,) = found(board(tmp_path, PI4), config(), probes(refusal=refusal))["line office"]
    assert finding.level is Level.PROBLEM
    assert text in finding.text
    assert cure in finding.cure


def test_a_real_port_is_reached_and_a_closed_one_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server("mqtt", "127.0.0.1", listener.getsockname()[1], tls=False)
        assert [finding.level for finding in check_server(server, connect)] == [Level.OK]
    assert [finding.level for finding in check_server(server, connect)] == [Level.PROBLEM]


def test_all_servers_of_a_config_are_tried() -> None:
    assert [(each.check, each.host, each.port, each.tls) for each in servers(config())] == [
        ("line office", "pbx.example.com", 443, True),
        ("mqtt", "broker.example.com", 8883, True),
    ]


def test_the_command_counts_problems_by_its_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "callpoint.toml"
    file.write_text(CONFIG.replace("gpio = 17", "gpio = 99"))
    file.chmod(0o600)
    done = CliRunner().invoke(doctor, [str(file), "--json", "--no-network"])
    first = json.loads(done.stdout)[0]
    assert done.exit_code == 1
    assert (first["check"], first["level"]) == ("config", "problem")
    assert "buttons.bell.gpio" in first["text"]
    assert "hush-hush" not in done.output
    shown = CliRunner().invoke(doctor, [str(file), "--no-network"])
    assert shown.exit_code == 1
    assert shown.output.startswith("PROBLEM  config")
    assert f"-> callpoint check {file}" in shown.output


def levels(findings: list[Finding]) -> list[tuple[Level, str]]:
    return [(each.level, each.text) for each in findings]


def test_the_devices_that_calls_would_use_are_looked_at(tmp_path: Path) -> None:
    root = board(tmp_path, PI4, HDMI, JABRA)
    named = config(CONFIG + '[audio]\ncapture = "plughw:CARD=Gone,DEV=0"\nplayback = "hdmi:CARD=vc4hdmi0,DEV=0"\n')
    checks = found(root, named, probes(()))
    assert levels(checks["microphone"]) == [(Level.PROBLEM, "no card for plughw:CARD=Gone,DEV=0 is there")]
    assert "vc4hdmi0 has no volume of its own" in checks["speaker"][0].text
    pulse = found(root, config(CONFIG + '[audio]\nplayback = "pulse"\n'), probes())
    assert levels(pulse["speaker"]) == [(Level.NOTE, "pulse names no card: whether it opens shows in a call")]
    defaults = config(CONFIG + '[call_defaults]\nmicId = "usb:1234:5678"\n')
    assert levels(found(root, defaults, probes())["microphone"]) == [
        (Level.PROBLEM, "no card for usb:1234:5678 is there")
    ]
    listening = found(root, config(CONFIG + "[call_defaults]\naudio = false\nreceiveOnlyAudio = true\n"), probes())
    assert "microphone" not in listening
    assert listening["profile"][0].text == "usb-speakerphone: microphone none, speaker usb"


def test_a_file_as_microphone_needs_no_card(tmp_path: Path) -> None:
    root = board(tmp_path, PI4, HDMI)
    sound = tmp_path / "greeting.wav"
    sound.write_bytes(b"RIFF")
    text = CONFIG + f'[audio]\ncapture = "wav:{sound}"\nplayback = "hdmi:CARD=vc4hdmi0,DEV=0"\n'
    checks = found(root, config(text), probes())
    assert [each for row in checks.values() for each in row if each.level is Level.PROBLEM] == []
    sound.unlink()
    assert levels(found(root, config(text), probes())["microphone"]) == [(Level.PROBLEM, f"{sound} is no file")]
    sound.write_bytes(b"RIFF")
    mute = found(root, config(CONFIG + f'[audio]\ncapture = "wav:{sound}"\n'), probes())
    assert levels(mute["speaker"]) == [(Level.NOTE, "no card plays: calls are not heard here")]


def test_sizes_that_do_not_fit_the_card_that_is_found_are_a_problem(tmp_path: Path) -> None:
    checks = found(board(tmp_path, PI4, JABRA), config(CONFIG + "[audio]\nfill_ms = 60\n"), probes())
    _, fault = checks["profile"]
    assert fault.level is Level.PROBLEM
    assert fault.text.startswith("audio.fill_ms: with 4 periods of 10 ms (profile usb-speakerphone) fill_ms must be")


def test_prompts_that_are_not_there_are_noted(tmp_path: Path) -> None:
    root = board(tmp_path, PI4, JABRA)
    text = CONFIG + f'[prompts]\nended = "{tmp_path}/bye.wav"\n'
    assert levels(found(root, config(text), probes())["prompts"]) == [
        (Level.NOTE, f"prompts.ended: {tmp_path}/bye.wav: No such file or directory; it will not be played")
    ]
    (tmp_path / "bye.wav").write_bytes(b"RIFF")
    assert "prompts" not in found(root, config(text), probes())
