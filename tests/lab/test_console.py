"""What the person at the lab sees and what the keys do."""

import asyncio
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console as RichConsole

from agent.lab.console import Console, LiveConsole, bar, line_of, open_console
from agent.lab.daemon import DaemonError

CALL = {"id": "c1", "direction": "outbound", "number": "+15550100", "name": "", "target": "reception"}


class FakeDaemon:
    def __init__(self):
        self.asked = []
        self.failure = None
        self.on_event = None
        self.state = {"state": "idle", "call": None, "lines": {"lab": {"state": "ready", "detail": ""}}}
        self.figures = {}
        self.done = asyncio.Event()

    async def request(self, verb, **fields):
        self.asked.append((verb, fields))
        self.done.set()
        if self.failure:
            raise DaemonError(self.failure)


@pytest.fixture
def lab():
    daemon = FakeDaemon()
    made = SimpleNamespace(
        daemon=daemon,
        broker=SimpleNamespace(kind="mosquitto", host="127.0.0.1", port=1883),
        gateway=SimpleNamespace(url="ws://127.0.0.1:1", legs=[]),
        sounds=SimpleNamespace(sound_card=False),
        far_end=None,
        rung=0,
        cuts=0,
        control_socket=Path("/run/lab.sock"),
    )

    async def ring():
        made.rung += 1

    async def cut():
        made.cuts += 1

    made.ring, made.cut = ring, cut
    made.press = lambda: daemon.request("press", button="bell")
    return made


@pytest.mark.parametrize(
    ("key", "asked"),
    [
        (" ", ("press", {"button": "bell"})),
        ("h", ("hangup", {})),
        ("m", ("mute", {})),
        ("o", ("hold", {})),
        ("t", ("message", {"text": "Hello from the lab"})),
        ("a", ("answer", {})),
        ("5", ("dtmf", {"digits": "5"})),
        ("#", ("dtmf", {"digits": "#"})),
    ],
)
async def test_keys_become_requests(lab, key, asked):
    Console(lab).on_key(key)
    async with asyncio.timeout(5):
        await lab.daemon.done.wait()
    assert lab.daemon.asked == [asked]


async def test_unknown_keys_do_nothing_and_q_quits(lab):
    console = Console(lab)
    console.on_key("z")
    assert not console.quit.is_set()
    console.on_key("q")
    assert console.quit.is_set()
    await asyncio.sleep(0)
    assert lab.daemon.asked == []


async def test_a_key_cuts_the_line(lab):
    console = Console(lab)
    console.on_key("x")
    async with asyncio.timeout(5):
        await asyncio.gather(*console._chores)
    assert lab.cuts == 1


async def test_a_refusal_is_shown_and_the_lab_goes_on(lab, capsys):
    lab.daemon.failure = "there is no call"
    console = Console(lab)
    console.on_key("h")
    async with asyncio.timeout(5):
        await lab.daemon.done.wait()
        await asyncio.gather(*console._chores)
    assert capsys.readouterr().out == "there is no call\n"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"type": "button", "button": "bell", "action": "pressed"}, "button bell pressed"),
        ({"type": "call_state", "call": {**CALL, "state": "active"}}, "call +15550100: active"),
        (
            {"type": "call_ended", "call": {**CALL, "duration_s": 3.2, "reason": "busy", "detail": "Busy Here"}},
            "call +15550100 ended after 3.2 s: busy (Busy Here)",
        ),
        ({"type": "line_state", "line": "lab", "state": "ready", "detail": ""}, "line lab: ready"),
        ({"type": "audio_failed", "detail": "no card"}, "audio problem (no card)"),
        ({"type": "network_changed", "detail": "eth0 lost 192.0.2.7"}, "another network (eth0 lost 192.0.2.7)"),
        ({"type": "display", "name": "Kitchen", "number": "1002"}, "the far end is now Kitchen 1002"),
        (
            {"type": "warning", "code": 31002, "name": "HIGH_JITTER", "text": "it may crackle", "cleared": False},
            "warning 31002 HIGH_JITTER: it may crackle",
        ),
        (
            {"type": "warning", "code": 31002, "name": "HIGH_JITTER", "text": "good again", "cleared": True},
            "over: warning 31002 HIGH_JITTER: good again",
        ),
        ({"type": "unheard of", "detail": "x"}, ""),
    ],
)
def test_events_become_lines(event, line):
    assert line_of(event) == line


@pytest.mark.parametrize(("level_dbfs", "cells"), [(-127, 0), (-60, 0), (-30, 20), (0, 40), (6, 40)])
def test_levels_become_bars(level_dbfs, cells):
    assert bar(level_dbfs).plain.count("█") == cells


def shown(console, width=110, height=40):
    screen = RichConsole(file=io.StringIO(), width=width, height=height)
    screen.print(console._screen(screen))
    return screen.file.getvalue()


async def test_the_screen_shows_the_idle_device_and_the_keys(lab):
    text = shown(LiveConsole(lab))
    for part in ("idle", "line lab", "ready", "press SPACE to call", "closed", "hang up", "quit"):
        assert part in text


async def test_the_screen_shows_the_call_its_figures_and_what_was_heard(lab):
    lab.daemon.state |= {"state": "active", "call": CALL, "microphone_open": True, "muted": True}
    lab.daemon.figures = {
        "call_id": "c1", "packets_sent": 11, "packets_received": 12, "packets_lost": 1, "jitter_ms": 2.5,
        "capture_dbfs": -30.0, "playback_dbfs": -20.0,
    }  # fmt: skip
    heard = SimpleNamespace(level_dbfs=-31.0, seconds=4.25)
    lab.far_end = SimpleNamespace(heard=heard, packets=SimpleNamespace(lost=0))
    lab.gateway.legs = [SimpleNamespace(digits="42", messages=[{"body": "hello there"}])]
    console = LiveConsole(lab)
    console.note("something happened")

    text = shown(console)

    for part in ("active", "+15550100", "11 sent, 12 received", "1 lost", "open, muted", "-30 dBFS", "-31 dBFS"):
        assert part in text
    for part in ("4.2 s", "42", "hello there", "something happened", "status --socket /run/lab.sock"):
        assert part in text


@pytest.mark.parametrize(("width", "height"), [(120, 40), (80, 24), (80, 15), (50, 16), (50, 30)])
async def test_whatever_the_size_the_frame_is_whole_and_the_newest_event_and_the_keys_are_there(lab, width, height):
    lab.daemon.state |= {"state": "active", "call": CALL, "microphone_open": True}
    lab.daemon.figures = {
        "call_id": "c1", "packets_sent": 1111, "packets_received": 1112, "packets_lost": 11, "jitter_ms": 12.5,
        "capture_dbfs": -30.0, "playback_dbfs": -20.0,
    }  # fmt: skip
    lab.far_end = SimpleNamespace(
        heard=SimpleNamespace(level_dbfs=-31.0, seconds=4.25), packets=SimpleNamespace(lost=0)
    )
    lab.gateway.legs = [SimpleNamespace(digits="42", messages=[{"body": "hello there"}])]
    console = LiveConsole(lab)
    for number in range(20):
        console.note(f"event {number} " + "of many words " * 9)

    lines = shown(console, width, height).splitlines()

    assert len(lines) <= height
    assert lines[0].startswith("╭")
    assert lines[-1].startswith("╰")
    text = "\n".join(lines)
    assert "event 19" in text
    for key in ("SPACE bell", "h hang up", "a answer", "q quit"):
        assert key in text
    if width >= 120:
        assert sum("quit" in line and "bell" in line for line in lines) == 1


async def test_without_a_terminal_there_are_plain_lines(lab, capsys, monkeypatch):
    with Path("/dev/null").open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        async with open_console(lab) as console:
            showing = asyncio.create_task(console.show())
            await asyncio.sleep(0)
            lab.daemon.on_event({"type": "button", "button": "bell", "action": "pressed"})
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    assert not isinstance(console, LiveConsole)
    out = capsys.readouterr().out
    assert "broker at 127.0.0.1:1883" in out
    assert "callpoint call reception --socket /run/lab.sock" in out
    assert "button bell pressed" in out
