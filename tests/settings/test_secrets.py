"""Secrets: where they may come from, what is said when one cannot be read, and that they are never shown."""

import os
import pickle
import stat
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.settings.line import LineConfig
from agent.settings.load import load_config, parse_config
from agent.settings.problems import ConfigErrors
from agent.settings.show import masked

SECRET = "s3cr3t-t0ken"
LOAD_IT = "add LoadCredential=nope:/path/of/the/secret to the service"
NOT_A_NAME = 'not a credential\'s name: expected letters, digits, "_", "." and "-"'
FORMS = '{ credential = "name" }, { env = "NAME" } or { file = "/path" }'


def config(secret: Any) -> dict[str, Any]:
    return {"device": {"id": "a"}, "lines": {"x": {"login_token": secret}}}


def token(secret: Any, base: Path, **environ: str) -> str:
    found = parse_config(config(secret), base, environ=environ).lines["x"].token
    assert found is not None
    return found.get_secret_value()


def complaint(secret: Any, base: Path, *, plain_secrets: bool = True, **environ: str) -> str:
    with pytest.raises(ConfigErrors) as raised:
        parse_config(config(secret), base, environ=environ, plain_secrets=plain_secrets)
    (problem,) = raised.value.problems
    assert problem.path.startswith("lines.x.login_token")
    return str(problem).removeprefix("lines.x.login_token").removeprefix(": ")


def private(path: Path, text: str = SECRET, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_systemd_credential_is_read(tmp_path: Path) -> None:
    # systemd shows its ACL as group rights, so the mode of a credential is not judged.
    private(tmp_path / "telnyx-token", SECRET + "\n", mode=0o440)
    assert token({"credential": "telnyx-token"}, tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path)) == SECRET


def test_an_environment_variable_is_read(tmp_path: Path) -> None:
    assert token({"env": "TELNYX_TOKEN"}, tmp_path, TELNYX_TOKEN=SECRET) == SECRET


@pytest.mark.parametrize("mode", [0o600, 0o400])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_file_of_the_owner_alone_is_read_beside_the_config(mode: int, ending: str, tmp_path: Path) -> None:
    path = private(tmp_path / "token", SECRET + ending, mode)
    assert token({"file": "token"}, tmp_path) == SECRET
    assert token({"file": str(path)}, Path("/")) == SECRET


def test_plain_text_is_taken_from_a_config_of_the_owner_alone(tmp_path: Path) -> None:
    text = f'[device]\nid = "a"\n[lines.x]\nlogin_token = "{SECRET}"\n'
    for mode in (0o600, 0o400):
        path = private(tmp_path / f"{mode}.toml", text, mode)
        found = load_config(path).lines["x"].token
        assert found is not None
        assert found.get_secret_value() == SECRET


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o610, 0o666])
def test_plain_text_is_refused_in_a_config_that_others_can_read(mode: int, tmp_path: Path) -> None:
    path = private(tmp_path / "c.toml", f'[device]\nid = "a"\n[lines.x]\nlogin_token = "{SECRET}"\n', mode)
    with pytest.raises(ConfigErrors) as raised:
        load_config(path)
    assert str(raised.value) == (
        f"{path}: 1 problem\n  lines.x.login_token: "
        f"a secret in a file that others can read: chmod 600 the file, or use {FORMS}"
    )


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ({"credential": "nope"}, f'credential "nope" is missing: {LOAD_IT}'),
        ({"credential": "../token"}, NOT_A_NAME),
        ({"credential": ".."}, NOT_A_NAME),
        ({"env": "NOPE"}, "the environment variable NOPE is not set"),
        ({"env": "A=B"}, 'not the name of an environment variable: expected letters, digits and "_"'),
        ({"env": "EMPTY"}, "the secret is empty"),
        ({"file": "nope"}, "no such file: {base}/nope"),
        ({"file": "open"}, "others can read {base}/open: chmod 600 it"),
        ({"file": "empty"}, "the secret is empty"),
        ({"file": "two-lines"}, "the secret has more than one line"),
        ({"file": "."}, "{base} is not a regular file"),
        ({"file": "fifo"}, "{base}/fifo is not a regular file"),
        ({"file": "binary"}, "{base}/binary is not UTF-8 text"),
        ({"file": "huge"}, "{base}/huge is too long for a secret, at most 65536 bytes are read"),
        ({"file": "a\0b"}, "{base}/a\0b cannot be read: not a path"),
        ({"file": ""}, ".file: expected text, not empty"),
        ({"file": 5}, ".file: expected text, not empty"),
        ({"credental": "x"}, '.credental: unknown key, did you mean "credential"?'),
        ({"vault": "x"}, ".vault: unknown key, expected {forms}"),
        ({}, "expected exactly one of {forms}"),
        ({"file": "a", "env": "B"}, "expected exactly one of {forms}"),
        (5, "wrong type, expected {forms}"),
        ([SECRET], "wrong type, expected {forms}"),
        ("", "the secret is empty"),
    ],
)  # fmt: skip
def test_a_secret_that_cannot_be_read_names_the_cure(secret: Any, message: str, tmp_path: Path) -> None:
    private(tmp_path / "open", mode=0o644)
    private(tmp_path / "empty", "\n")
    private(tmp_path / "two-lines", "a\nb\n")
    private(tmp_path / "huge", "x" * 70_000)
    os.mkfifo(tmp_path / "fifo", 0o600)
    private(tmp_path / "binary").write_bytes(b"\xff\xfe")
    expected = message.replace("{base}", str(tmp_path)).replace("{forms}", FORMS)
    assert complaint(secret, tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path), EMPTY="") == expected


def test_a_credential_outside_of_a_service_says_why(tmp_path: Path) -> None:
    assert complaint({"credential": "telnyx-token"}, tmp_path) == (
        'credential "telnyx-token" cannot be read here: only a systemd service gets credentials '
        "($CREDENTIALS_DIRECTORY is not set); `callpoint check --no-secrets` does without"
    )


def test_a_config_can_be_checked_away_from_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[device]\nid = "a"\n[lines.x]\nlogin_token = { credential = "telnyx-token" }\n')
    found = load_config(path, environ={}, resolve_secrets=False).lines["x"].token
    assert found is not None
    assert found.get_secret_value() == ""
    path.write_text('[device]\nid = "a"\n[lines.x]\nlogin_token = { credential = "a/b" }\n')
    with pytest.raises(ConfigErrors, match="not a credential's name"):
        load_config(path, environ={}, resolve_secrets=False)


@pytest.fixture
def full(good: dict[str, Any]) -> dict[str, Any]:
    """A config whose every secret is `SECRET`."""
    good["lines"]["telnyx"]["password"] = SECRET
    good["lines"]["office"]["password"] = SECRET
    good["lines"]["token"] = {"login_token": SECRET}
    good["mqtt"]["password"] = SECRET
    turn = {"urls": "turn:turn.example.com", "username": "door", "credential": SECRET}
    good["call_defaults"]["iceServers"] = [turn]
    good["targets"]["reception"]["iceServers"] = [turn]
    return good


def test_no_secret_is_in_a_repr_a_string_a_dump_or_the_effective_config(full: dict[str, Any], tmp_path: Path) -> None:
    config = parse_config(full, tmp_path)
    for text in (repr(config), str(config), config.model_dump_json(), str(config.model_dump()), masked(config)):
        assert SECRET not in text
    assert masked(config).count('"********"') == 6


def test_no_secret_is_in_an_error_about_another_field_of_its_table(full: dict[str, Any], tmp_path: Path) -> None:
    full["lines"]["telnyx"]["login"] = 5
    full["lines"]["token"]["password"] = SECRET
    full["mqtt"]["pasword"] = SECRET
    full["call_defaults"]["iceServers"][0]["credental"] = SECRET
    full["targets"][SECRET] = 5
    with pytest.raises(ConfigErrors) as raised:
        parse_config(full, tmp_path)
    shown = [str(raised.value), repr(raised.value), "".join(traceback.format_exception(raised.value))]
    # A name is no secret, and problems are found by it; values are never told.
    assert not any(SECRET in text.replace(f"targets.{SECRET}", "") for text in shown)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


@pytest.mark.parametrize("key", ["device", "login", "region", "host", "env", "dialect"])
def test_a_secret_in_the_wrong_place_is_not_repeated(key: str, complaints: Callable[[Any], list[str]]) -> None:
    line = {"login_token": "t", key: f"{SECRET} {SECRET}\n"}
    for problem in complaints({"device": {"id": "a"}, "lines": {"x": line}}):
        assert SECRET not in problem


def test_pydantics_own_text_hides_values_too() -> None:
    with pytest.raises(ValidationError) as raised:
        LineConfig.model_validate({"login": [SECRET], "password": SECRET, "nope": SECRET})
    assert SECRET not in str(raised.value)


def test_errors_survive_pickling_without_values(full: dict[str, Any], tmp_path: Path) -> None:
    full["device"]["id"] = f"{SECRET}!"
    with pytest.raises(ConfigErrors) as raised:
        parse_config(full, tmp_path)
    data = pickle.dumps(raised.value)
    assert SECRET.encode() not in data
    assert str(pickle.loads(data)) == str(raised.value)


def test_the_mode_is_that_of_the_opened_file(tmp_path: Path) -> None:
    target = private(tmp_path / "real", mode=0o644)
    (tmp_path / "link").symlink_to(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert complaint({"file": "link"}, tmp_path) == f"others can read {tmp_path}/link: chmod 600 it"
