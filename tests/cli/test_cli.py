"""The command line as a stranger meets it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner, Result

from agent.cli import EXIT_INTERRUPTED, main
from agent.cli.call import call
from agent.cli.check import check
from agent.cli.config_file import EXIT_CONFIG
from agent.cli.control import find_socket
from agent.cli.group import COMMANDS, callpoint
from agent.cli.hangup import hangup
from agent.cli.run import run
from agent.cli.status import describe, status
from agent.lab.gateway import LabGateway
from hardware.detect import detect
from tests.boards import JABRA, PI4, board
from tests.device import PASSWORD, config_of, device

EXIT_USAGE = 2  # click's

GOOD = """
[device]
id = "door"
[lines.telnyx]
login_token = { env = "TOKEN" }
[targets.reception]
destinationNumber = "+12345678900"
useStereo = true
audio = { echoCancellation = true }
"""


def invoke(command, *arguments: object, env: dict[str, str] | None = None) -> Result:  # type: ignore[no-untyped-def]
    return CliRunner().invoke(command, [str(argument) for argument in arguments], env=env)


def test_help_lists_every_command_with_what_it_does() -> None:
    text = invoke(callpoint, "--help").output
    for name, sentence in COMMANDS.items():
        assert name in text
        assert sentence in text


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    result = invoke(callpoint, name, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


def test_an_unknown_command_is_refused() -> None:
    result = invoke(callpoint, "cal")
    assert result.exit_code == 2
    assert "No such command 'cal'" in result.output


def test_ctrl_c_while_the_command_is_being_loaded_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "agent.cli.group", SimpleNamespace(callpoint=interrupted))
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == EXIT_INTERRUPTED


def test_check_says_that_a_config_is_good(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(GOOD)
    result = invoke(check, file, env={"TOKEN": "very-secret"})
    assert result.exit_code == 0
    assert f"{file}: good" in result.output
    assert "comes later" not in result.output
    assert "useStereo" not in result.output


def test_check_shows_the_effective_config_without_its_secrets(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(GOOD)
    output = invoke(check, file, "--show", env={"TOKEN": "very-secret"}).output
    assert "very-secret" not in output
    assert 'login_token = "********"' in output


@pytest.mark.parametrize("command", [check, run])
@pytest.mark.parametrize("spelling", [(), ("--config",)], ids=["FILE", "--config FILE"])
def test_all_errors_of_a_config_are_shown_at_once_and_the_exit_code_says_config(
    command: click.Command, spelling: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "c.toml"
    wrong = GOOD.replace("useStereo", "useSterio").replace("login_token", "login_tokn")
    file.write_text(wrong + '[audio]\nprofile = "usb-speakerfone"\n')
    result = invoke(command, *spelling, file)
    assert result.exit_code == EXIT_CONFIG
    assert 'targets.reception.useSterio: unknown key, did you mean "useStereo"?' in result.output
    assert 'lines.telnyx.login_tokn: unknown key, did you mean "login_token"?' in result.output
    assert 'audio.profile: no sound profile has this name, did you mean "usb-speakerphone"?' in result.output


def test_prompts_that_are_not_there_are_noted_where_they_should_be(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    (tmp_path / "here.wav").write_bytes(b"RIFF")
    (tmp_path / "folder.wav").mkdir()
    plan = '[plans.visitor]\nsteps = [["reception"]]\nnobody = "nix.wav"\n'
    prompts = '[prompts]\nconnecting = "here.wav"\nended = "folder.wav"\nfiles = { wait = "gone.wav" }\n'
    file.write_text(GOOD + 'announcement = "hello.wav"\n' + plan + prompts)
    result = invoke(check, file, env={"TOKEN": "very-secret"})
    assert result.exit_code == 0
    told = [line for line in result.output.splitlines() if "will not be played" in line]
    missing = "No such file or directory; it will not be played"
    assert told == [
        f"note: prompts.ended: {tmp_path}/folder.wav: not a file; it will not be played",
        f"note: prompts.files.wait: {tmp_path}/gone.wav: {missing}",
        f"note: targets.reception.announcement: {tmp_path}/hello.wav: {missing}",
        f"note: plans.visitor.nobody: {tmp_path}/nix.wav: {missing}",
    ]
    assert "will not be played" not in invoke(check, file, "--no-secrets").output


MUTE = "with 4 periods of 10 ms (profile usb-speakerphone) fill_ms must be more than 10 and at most 30, and is 60"


@pytest.mark.parametrize("command", [check, run])
def test_sizes_that_do_not_fit_the_named_profile_are_refused(command: click.Command, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(GOOD + '[audio]\nprofile = "usb-speakerphone"\nfill_ms = 60\n')
    result = invoke(command, file, env={"TOKEN": "very-secret"})
    assert result.exit_code == EXIT_CONFIG
    assert f"  audio.fill_ms: {MUTE}" in result.output
    file.write_text(GOOD + '[audio]\nprofile = "usb-speakerphone"\nfill_ms = 60\nperiods = 7\n')
    assert invoke(check, file, env={"TOKEN": "very-secret"}).exit_code == 0


@pytest.mark.parametrize(
    ("cards", "fill_ms", "refused"),
    [
        ((JABRA,), 60, MUTE),
        ((JABRA,), 25, None),
        ((), 60, None),  # fits the longer periods of a card that may be found
        ((), 5, "fill_ms must be more than 10"),
    ],
)
def test_sizes_are_looked_at_with_the_profile_that_auto_would_choose_here(
    cards: tuple[tuple[str, str, str], ...],
    fill_ms: int,
    refused: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture = detect(board(tmp_path, PI4, *cards))
    monkeypatch.setattr("hardware.detect.detect", lambda: picture)
    file = tmp_path / "c.toml"
    file.write_text(GOOD + f"[audio]\nfill_ms = {fill_ms}\n")
    result = invoke(check, file, env={"TOKEN": "very-secret"})
    assert result.exit_code == (EXIT_CONFIG if refused else 0)
    assert (refused or "good") in result.output


@pytest.mark.parametrize("command", [check, run])
def test_two_configs_are_one_too_many(command: click.Command) -> None:
    result = invoke(command, "this.toml", "--config", "that.toml")
    assert result.exit_code == EXIT_USAGE
    assert "two configs: this.toml, and --config that.toml. Name one of them." in result.output


def test_without_a_daemon_the_commands_say_how_to_start_one(tmp_path: Path) -> None:
    result = invoke(status, "--socket", tmp_path / "none.sock")
    assert result.exit_code == 1
    assert "callpoint is not running at" in result.output


def test_an_option_that_is_no_pair_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    result = invoke(call, "reception", "-o", "timeoutSecs", "--socket", tmp_path / "none.sock")
    assert result.exit_code == 2
    assert "expected NAME=VALUE" in result.output


def test_the_status_is_told_in_lines_for_people() -> None:
    text = describe(
        {
            "state": "idle",
            "call": None,
            "last_call": {
                "direction": "outbound",
                "name": "",
                "number": "+1",
                "reason": "busy",
                "detail": "USER_BUSY (17), SIP 486",
                "quality": {"mos": None},
            },
            "lines": {"telnyx": {"state": "offline", "detail": "no network; next try in 4 s"}},
            "microphone_open": False,
            "privacy": False,
            "stuck_buttons": [],
            "self_test": None,
            "muted": False,
            "audio_problem": "microphone: no such device",
            "warnings": [],
            "broker": None,
        }
    )
    assert "last call      outbound +1, ended: busy (USER_BUSY (17), SIP 486)" in text
    assert "line telnyx    offline: no network; next try in 4 s" in text
    assert "audio problem  microphone: no such device" in text


@pytest.mark.interop
async def test_call_status_and_hangup_talk_to_the_running_daemon(tmp_path: Path) -> None:
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path), tmp_path) as door,
    ):
        await door.line_ready()
        socket = ("--socket", tmp_path / "door.sock")
        placed = await asyncio.to_thread(invoke, call, "reception", "-o", "callerName=Front door", *socket)
        assert placed.output.startswith("calling reception (call ")
        active = await door.call_state("active")
        assert active["id"] in placed.output
        shown = await asyncio.to_thread(invoke, status, "--json", *socket)
        assert json.loads(shown.output)["call"]["id"] == active["id"]
        again = await asyncio.to_thread(invoke, call, "reception", *socket)
        assert again.exit_code == 1
        assert "a call is going on; hang up first" in again.output
        unknown = await asyncio.to_thread(invoke, call, "recption", *socket)
        assert "unknown target 'recption'" in unknown.output
        ended = await asyncio.to_thread(invoke, hangup, *socket)
        assert ended.output == f"hung up call {active['id']}\n"
        assert (await door.ended())["reason"] == "local_hangup"


def test_a_service_folder_that_is_not_for_us_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hidden(type(Path())):  # type: ignore[misc]
        def exists(self) -> bool:
            raise PermissionError(13, "Permission denied")

    hidden = Hidden("/run/callpoint/control.sock")
    monkeypatch.setattr("agent.cli.control.SERVICE_SOCKET", hidden)
    monkeypatch.setattr("agent.cli.control.os.getuid", lambda: -1)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert find_socket() == hidden
