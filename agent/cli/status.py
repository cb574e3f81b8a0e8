"""`callpoint status`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from agent.cli.control import ask, socket_option


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The whole state as JSON.")
@socket_option
def status(*, as_json: bool, socket_path: Path | None) -> None:
    """Show what the running daemon is doing: its lines, its broker, its call, what is wrong."""
    state = ask(socket_path, "status")["state"]
    click.echo(json.dumps(state, indent=2) if as_json else describe(state))


def describe(state: dict[str, Any]) -> str:
    """The state in lines for a person."""
    rows = [("state", state["state"])]
    if plan := state.get("plan"):  # a daemon that an update has not restarted yet tells none
        at = f"step {plan['step']} of {plan['steps']}, cycle {plan['cycle']} of {plan['cycles']}"
        rows.append(("plan", f"{plan['name']}: {plan['target']}, {plan['state']}, {at}"))
    call = state["call"] or state["last_call"]
    if call:
        who = " ".join(part for part in (call["name"], call["number"]) if part) or "unknown"
        ended = f", ended: {call['reason']}" if call["reason"] else ""
        detail = f" ({call['detail']})" if call["detail"] else ""
        rows.append(("call" if state["call"] else "last call", f"{call['direction']} {who}{ended}{detail}"))
        rows += _quality_rows(call["quality"])
    for name, line in state["lines"].items():
        rows.append((f"line {name}", f"{line['state']}{': ' + line['detail'] if line['detail'] else ''}"))
    if broker := state["broker"]:
        rows.append(("broker", f"{broker['state']}: {broker['detail']}"))
    microphone = ("open, muted" if state["muted"] else "open") if state["microphone_open"] else "closed"
    rows.append(("microphone", "closed by the privacy switch" if state["privacy"] else microphone))
    if state["stuck_buttons"]:
        rows.append(("stuck", f"buttons that do not let go: {', '.join(state['stuck_buttons'])}"))
    if state["audio_problem"]:
        rows.append(("audio problem", state["audio_problem"]))
    if test := state["self_test"]:
        part = f" ({test['part']})" if test["part"] else ""
        rows.append(("self-test", f"{test['result']}{part}{_age(test['at'])}"))
    for warning in state["warnings"]:
        about = "" if warning["call_id"] or not warning["line"] else f"line {warning['line']}: "
        rows.append(("warning", f"{about}{warning['text']} ({warning['code']} {warning['name']})"))
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {text}" for label, text in rows)


def _age(at: str | None) -> str:
    """How long ago, by the wall clock; empty where that was not set."""
    if at is None:
        return ""
    minutes = (datetime.now().astimezone() - datetime.fromisoformat(at)).total_seconds() / 60
    return f", {minutes:.0f} min ago" if minutes < 120 else f", {minutes / 60:.0f} h ago"


def _quality_rows(quality: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """How the call sounds, once the far end has reported on it."""
    if quality["mos"] is None:
        return
    parts = [f"MOS {quality['mos']}, {quality['quality']}"]
    parts += [
        f"{quality[name]} {words}"
        for name, words in (("rtt_ms", "ms there and back"), ("jitter_ms", "ms jitter"), ("loss_percent", "% lost"))
        if quality[name] is not None
    ]
    yield "quality", "; ".join(parts)
