"""Reading the file: what it may look like, and what is said when it cannot be read."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.settings.load import load_config
from agent.settings.problems import ConfigErrors

TEXT = '[device]\nid = "door"\nname = "Tür"\n[lines.x]\nlogin_token = "t"\n'


def complaint(path: Path) -> str:
    with pytest.raises(ConfigErrors) as raised:
        load_config(path)
    assert raised.value.path == path
    return str(raised.value).removeprefix(f"{path}: 1 problem\n  ")


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_file_from_any_editor_is_read(mark: bytes, ending: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "callpoint.toml", mark + TEXT.encode().replace(b"\n", ending))
    assert load_config(path).device.name == "Tür"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert complaint(tmp_path / "nope.toml") == "no such file: see config/callpoint.toml for one to begin with"


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    assert complaint(tmp_path) == "cannot be read: Is a directory"


def test_an_unreadable_file_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path / "callpoint.toml", TEXT.encode())
    monkeypatch.setattr(Path, "open", refuse)  # root, as which tests may run, can read everything
    assert complaint(path) == "cannot be read: Permission denied"


def test_a_file_in_another_encoding_is_told_by_line(tmp_path: Path) -> None:
    path = write(tmp_path / "callpoint.toml", TEXT.encode("latin-1"))
    assert complaint(path) == "line 3: not UTF-8 text: save the file as UTF-8"


def test_a_syntax_error_is_told_by_line(tmp_path: Path) -> None:
    path = write(tmp_path / "callpoint.toml", TEXT.encode() + b"region eu\n")
    assert complaint(path) == "line 6, column 8: expected '=' after a key in a key/value pair"


def test_relative_paths_start_at_the_configs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    write(folder / "token", b"from-file\n")
    write(folder / "ca.pem", b"certificate")
    path = write(
        folder / "callpoint.toml",
        b'[device]\nid = "a"\n[lines.x]\nlogin_token = { file = "token" }\nca_file = "ca.pem"\n',
    )
    monkeypatch.chdir(tmp_path)
    line = load_config(path.relative_to(tmp_path)).lines["x"]
    assert line.login_token is not None
    assert line.login_token.get_secret_value() == "from-file"
    assert line.ca_file == folder / "ca.pem"


def test_loading_settings_does_not_load_the_daemon() -> None:
    """Cold start counts: the settings are read before anything else is needed."""
    heavy = "{'asyncio', 'aiortc', 'av', 'numpy', 'click', 'rich', 'email_validator', 'cryptography'}"
    code = f"import sys; import agent.settings.load; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
