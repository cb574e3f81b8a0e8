"""What a person sees of the lab: a live screen with keys on a terminal, plain lines anywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import sys
import termios
import time
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.lab.daemon import DaemonError
from agent.lab.report import CallReport
from agent.lab.rig import Lab

REFRESH_HZ = 8.0
BAR_CELLS = 40
QUIETEST_DBFS = -60.0  # an empty bar; a quiet room is there about
LOUD_DBFS = -6.0
SHOWN_EVENTS = 8
FRAME_LINES = 4  # border and padding, above and below
FRAME_CELLS = 6  # the same on both sides
KEY_GAP = "  "
DIGITS = "0123456789*#"
TEXT = "Hello from the lab"
KEYS = (
    ("SPACE", "bell"),
    ("h", "hang up"),
    ("m", "mute"),
    ("o", "hold"),
    ("0-9*#", "digits"),
    ("t", "text"),
    ("i", "be called"),
    ("a", "answer"),
    ("x", "cut the line"),
    ("q", "quit"),
)


def say(text: str) -> None:
    """One plain line, at once."""
    print(text, flush=True)


def print_report(report: CallReport, keep: Path) -> None:
    """The table at the end of `--once`."""
    width = max(len(label) for label, _ in report.rows())
    for label, text in report.rows():
        say(f"  {label:<{width}}  {text}")
    say(f"  {'recordings and log':<{width}}  {keep}")


def line_of(event: dict[str, Any]) -> str:
    """One event of the daemon in a line for a person; empty for those that say nothing new."""
    call = event.get("call") or {}
    who = call.get("number") or call.get("target") or ""
    detail = str(event.get("detail") or call.get("detail") or "")
    text = ""
    match event.get("type"):
        case "button":
            text = f"button {event.get('button')} {event.get('action')}"
        case "incoming_call":
            text = f"{call.get('name') or 'somebody'} {who} is calling"
        case "call_state":
            text = f"call {who}: {call.get('state')}"
        case "call_ended":
            text = f"call {who} ended after {call.get('duration_s')} s: {call.get('reason')}"
        case "line_state":
            text = f"line {event.get('line')}: {event.get('state')}"
        case "dtmf" | "message":
            text = f"received {event.get('digit') or event.get('text')}"
        case "display":
            text = f"the far end is now {event.get('name') or ''} {event.get('number') or ''}".rstrip()
        case "warning":
            over = "over: " if event.get("cleared") else ""
            text = f"{over}warning {event.get('code')} {event.get('name')}: {event.get('text')}"
        case "network_changed":
            text = "another network"
        case "audio_failed":
            text = "audio problem"
        case "media_restarted":
            text = "the media process has been started again"
    return f"{text} ({detail})" if text and detail else text


class Console:
    """Plain lines. Keys work here too, when standard input is a pipe."""

    def __init__(self, lab: Lab) -> None:
        self.quit = asyncio.Event()
        self._lab = lab
        self._chores: set[asyncio.Task[None]] = set()
        self._acts: dict[str, Callable[[], Awaitable[Any]]] = {
            " ": lab.press,
            "h": lambda: lab.daemon.request("hangup"),
            "m": lambda: lab.daemon.request("mute"),
            "o": lambda: lab.daemon.request("hold"),
            "t": lambda: lab.daemon.request("message", text=TEXT),
            "a": lambda: lab.daemon.request("answer"),
            "i": lab.ring,
            "x": lab.cut,
        }

    async def show(self) -> None:
        """Show what happens until cancelled."""
        self._lab.daemon.on_event = self._on_event
        say(f"ready: broker at {self._lab.broker.host}:{self._lab.broker.port}, gateway at {self._lab.gateway.url}")
        say("no terminal here, so no screen. From another one:")
        for command in ("call reception", "status", "hangup"):
            say(f"  {_program()} {command} --socket {self._socket()}")
        say("or, for one call with a verdict: make run ARGS=--once")
        await self.quit.wait()

    def _socket(self) -> str:
        """The control socket as one types it."""
        return shlex.quote(str(self._lab.control_socket))

    def note(self, text: str) -> None:
        """Tell the person something that is no event of the daemon's."""
        say(text)

    def on_key(self, key: str) -> None:
        """Do what the key stands for; unknown keys do nothing."""
        if key in ("q", "\x03", "\x04"):
            self.quit.set()
        elif key in DIGITS:
            self._start(self._lab.daemon.request("dtmf", digits=key))
        elif act := self._acts.get(key):
            self._start(act())

    def _on_event(self, event: dict[str, Any]) -> None:
        if text := line_of(event):
            self.note(text)

    def _start(self, work: Awaitable[Any]) -> None:
        task = asyncio.create_task(self._do(work), name="lab key")
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _do(self, work: Awaitable[Any]) -> None:
        try:
            await work
        except (DaemonError, LookupError) as error:
            self.note(str(error))


class LiveConsole(Console):
    """A screen that follows the call, redrawn a few times a second."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self._notes: list[tuple[float, str]] = []
        self._start_s = time.monotonic()

    async def show(self) -> None:
        self._lab.daemon.on_event = self._on_event
        screen = RichConsole()
        with Live(self._screen(screen), console=screen, auto_refresh=False, screen=True) as live:
            while True:
                live.update(self._screen(screen), refresh=True)
                await asyncio.sleep(1 / REFRESH_HZ)

    def note(self, text: str) -> None:
        self._notes = [*self._notes, (time.monotonic(), text)][-SHOWN_EVENTS:]

    def _screen(self, screen: RichConsole) -> RenderableType:
        """All of it if it fits; else fewer events, then no levels: the state and the keys come first."""
        status, levels, keys = self._status(), self._levels(), _keys(screen.width - FRAME_CELLS)
        room = screen.height - FRAME_LINES - status.row_count - len(keys)
        parts: list[RenderableType] = [status]
        if room >= levels.row_count:
            parts.append(levels)
            room -= levels.row_count
        parts.append(self._events(min(room, SHOWN_EVENTS + 2)))
        elsewhere = f"elsewhere: {_program()} status --socket {self._socket()}"
        return Panel(Group(*parts, *keys), title="Callpoint lab", subtitle=elsewhere, padding=(1, 2))

    def _status(self) -> Table:
        state, figures = self._lab.daemon.state, self._lab.daemon.figures
        call = state.get("call")
        table = _grid()
        shown = str(state.get("state", "unknown"))
        table.add_row("device", Text(shown, style="bold green" if shown == "active" else "bold"))
        for name, line in state.get("lines", {}).items():
            table.add_row(f"line {name}", line["state"])
        table.add_row("broker", f"{self._lab.broker.kind} at {self._lab.broker.host}:{self._lab.broker.port}")
        table.add_row("microphone", self._microphone(state))
        table.add_row("call", f"{call['direction']} {call['number']}" if call else "none: press SPACE to call")
        if call and figures.get("call_id") == call["id"]:
            counts = f"{figures['packets_sent']} sent, {figures['packets_received']} received"
            quality = f"{figures['packets_lost']} lost, jitter {figures['jitter_ms']} ms"
            table.add_row("packets", f"{counts}, {quality}")
        return table

    def _microphone(self, state: dict[str, Any]) -> str:
        source = "the sound card" if self._lab.sounds.sound_card else "a recording (no sound card here)"
        if not state.get("microphone_open"):
            return f"closed; {source}"
        return f"{'open, muted' if state.get('muted') else 'open'}; {source}"

    def _levels(self) -> Table:
        figures, far_end = self._lab.daemon.figures, self._lab.far_end
        in_call = bool(self._lab.daemon.state.get("call"))
        table = _grid()
        table.add_row("", "")
        table.add_row("device says", bar(figures.get("capture_dbfs", QUIETEST_DBFS) if in_call else QUIETEST_DBFS))
        heard_dbfs = far_end.heard.level_dbfs if far_end is not None else QUIETEST_DBFS
        table.add_row("far end hears", bar(heard_dbfs))
        table.add_row("device hears", bar(figures.get("playback_dbfs", QUIETEST_DBFS) if in_call else QUIETEST_DBFS))
        if far_end is not None:
            table.add_row("far end has heard", f"{far_end.heard.seconds:.1f} s, {far_end.packets.lost} packets lost")
            leg = self._lab.gateway.legs[-1]
            table.add_row("digits received", leg.digits or "none")
            if leg.messages:
                table.add_row("text received", str(leg.messages[-1].get("body", "")))
        return table

    def _events(self, room: int) -> Group:
        """The newest events between two empty lines, `room` lines in all."""
        if room < 3:
            return Group(*[Text("")] * room)
        lines = [f"{at_s - self._start_s:7.1f} s  {text}" for at_s, text in self._notes][-(room - 2) :]
        lines += [""] * (room - 2 - len(lines))
        return Group(
            Text(""), *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines), Text("")
        )


def _keys(width: int) -> list[Text]:
    """The keys, in as few lines as hold them; no key is parted from what it does."""
    lines: list[Text] = []
    for key, act in KEYS:
        pair = Text.assemble((key, "bold"), f" {act}")
        if lines and len(lines[-1]) + len(KEY_GAP) + len(pair) <= width:
            lines[-1].append(KEY_GAP).append_text(pair)
        else:
            lines.append(pair)
    for line in lines:
        line.justify = "center"
    return lines


def _program() -> str:
    """The `callpoint` command of this installation, as one types it from here."""
    program = Path(sys.executable).with_name("callpoint")
    with contextlib.suppress(ValueError):
        program = program.relative_to(Path.cwd())
    return shlex.quote(str(program))


def bar(level_dbfs: float) -> Text:
    """A level as a bar: empty at -60 dBFS, full at 0."""
    share = min(max(1 - level_dbfs / QUIETEST_DBFS, 0.0), 1.0)
    cells = round(share * BAR_CELLS)
    style = "red" if level_dbfs > LOUD_DBFS else "green"
    shown = f"{level_dbfs:4.0f} dBFS" if cells else "   quiet"
    return Text.assemble(("█" * cells, style), ("·" * (BAR_CELLS - cells), "dim"), f" {shown}")


@asynccontextmanager
async def open_console(lab: Lab) -> AsyncIterator[Console]:
    """The console that suits this terminal, with its keys at work."""
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    console = LiveConsole(lab) if on_terminal else Console(lab)
    with _single_keys() if on_terminal else contextlib.nullcontext(), _keys_to(console):
        yield console


@contextmanager
def _single_keys() -> Iterator[None]:
    """Keys one by one and unseen, for as long as this lasts."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        with contextlib.suppress(termios.error):  # the window was closed: there is no terminal any more
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _keys_to(console: Console) -> Iterator[None]:
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()

    def read() -> None:
        keys = os.read(descriptor, 64)
        if not keys:
            loop.remove_reader(descriptor)
        for key in keys.decode(errors="ignore"):
            console.on_key(key)

    try:
        loop.add_reader(descriptor, read)
    except PermissionError:
        yield  # /dev/null or a file: nothing to wait for, so no keys
        return
    try:
        yield
    finally:
        loop.remove_reader(descriptor)


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="cyan", min_width=17, no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    return table
