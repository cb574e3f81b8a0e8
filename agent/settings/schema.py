"""Writes what is generated from the models: `python -m agent.settings.schema` in the project's folder.

`config/callpoint.schema.json` is for editors, `docs/configuration.md` is the reference page for people.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from agent.settings.base import SettingsModel
from agent.settings.call_options import CallOptions
from agent.settings.describe import Node, hint_of, type_text
from agent.settings.model import Config
from agent.settings.toml_text import value_text

SCHEMA_PATH = Path("config/callpoint.schema.json")
REFERENCE_PATH = Path("docs/configuration.md")

_INTRODUCTION = """\
# Configuration

<!-- Generated from the models: python -m agent.settings.schema -->

One file in [TOML](https://toml.io), `/etc/callpoint/callpoint.toml` on a device. `config/callpoint.toml` is a commented
one to begin with, `config/examples/` holds a few more. An editor that knows TOML schemas completes the keys with
`#:schema ./callpoint.schema.json` as first line.

* `callpoint check` shows **every** problem of the file with its path and cure, or notes on what is worth knowing.
  `--show` prints the effective config with all secrets masked, `--no-secrets` checks it away from its
  device: secrets, prompts and sound cards are not looked for.
* Unknown keys are errors. Nothing is guessed: `"5"` is not a number.
* The names of call options are those of Telnyx's ICallOptions (`callerName`, `preferred_codecs`). Their snake_case
  spelling (`caller_name`) is accepted too, but not both at once.
* A call's options are those of `[call_defaults]`, overridden by the target's, overridden by those of the single call.
  Only what is set overrides; lists and tables are replaced as a whole.
* Paths are relative to the folder of the config.

## Secrets
Passwords and tokens (type *secret*) are given in one of these forms:

| form | where the secret is |
| --- | --- |
| `{ credential = "name" }` | a systemd credential: `LoadCredential=name:/path` in the service. The best place |
| `{ file = "/path" }` | a file with mode 0600 or 0400, one line |
| `{ env = "NAME" }` | an environment variable |
| `"text"` | the config itself, accepted only while its mode is 0600 or 0400 |

They are masked in every output and never part of a message.

## Login tokens
A Telnyx login token is good for a day. One of these forms of `login_token` fetches fresh ones while the daemon runs,
when three quarters of the lifetime are over, and logs in again without dropping a call. What goes wrong is told by MQTT
and in the log at once, hours before the line would go down.

| form | where tokens come from |
| --- | --- |
| `{ file = "/path", watch = true }` | a file with mode 0600 or 0400, read again whenever it changes |
| `{ command = ["program", "argument"] }` | what a program prints; it is started without a shell |
| `{ url = "https://..." }` | your backend's answer to GET |

An `url` may come with `bearer` (a secret), `client_cert` and `client_key` (PEM files) and `ca_file` (the certificates
to trust instead of the system's). Every source gives the token as plain text, `{"token": "..."}` or `{"data": "..."}`.

## Call options
[call-options.md](call-options.md) compares every option with what Telnyx's JS SDK does with it, and says why some of
the SDK's are not here.
"""


def schema_text() -> str:
    """The config's JSON Schema (draft 2020-12)."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    schema["title"] = "callpoint.toml"
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def reference_text() -> str:
    """The reference page: every key with its type, default and meaning."""
    return "\n".join([_INTRODUCTION, *_sections(Config)])


def _sections(config: type[SettingsModel]) -> Iterator[str]:
    for name, field in config.model_fields.items():
        node = Node(field.annotation, tuple(field.metadata))
        entry = node.child("")
        model = node.model or (entry.model if entry else None)
        if model is None:
            raise TypeError(f"{name}: only tables stand at the top of a config")
        heading = name if node.model else f"{name}.<name>"
        needed = " *(required)*" if field.is_required() else ""
        yield f"## [{heading}]\n{field.description}{needed}\n"
        if issubclass(model, CallOptions) and model is not CallOptions:
            yield "Every key of `[call_defaults]`, and:\n"
        yield from _tables(heading, model)


def _tables(heading: str, model: type[SettingsModel]) -> Iterator[str]:
    inherited = CallOptions.model_fields if model is not CallOptions and issubclass(model, CallOptions) else {}
    fields = {name: field for name, field in model.model_fields.items() if name not in inherited}
    rows = [_row(name, field) for name, field in fields.items()]
    yield "\n".join(["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows, ""])
    for name, field in fields.items():
        node = Node(field.annotation, tuple(field.metadata))
        if hint_of(node) is not None:
            continue  # the column of types says all about it
        inner = node.model or (item.model if (item := node.child(0)) else None)
        if inner is not None:
            one_of = "One of the tables in" if node.model is None else "The table"
            yield f"### {name}\n{one_of} `{name}` of `[{heading}]`. {_first_line(inner)}\n"
            yield from _tables(f"{heading}.{name}", inner)


def _row(name: str, field: FieldInfo) -> str:
    kind = type_text(Node(field.annotation, tuple(field.metadata)))
    meaning = field.description or ""
    return f"| `{name}` | {_cell(kind)} | {_default(field)} | {_cell(meaning)} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    default = field.get_default(call_default_factory=True, validated_data={})
    return "" if default is None or isinstance(default, (dict, SettingsModel)) else f"`{value_text(default)}`"


def _first_line(model: type[SettingsModel]) -> str:
    return (model.__doc__ or "").partition("\n")[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write both files below the working directory, which must be the project's."""
    SCHEMA_PATH.write_text(schema_text(), encoding="utf-8")
    REFERENCE_PATH.write_text(reference_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
