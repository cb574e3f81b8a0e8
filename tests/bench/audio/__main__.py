"""`make bench-audio`: all benches of the sound, one after the other, one table, one file (build/bench/audio.json).

Each bench is a process of its own that writes its rows to build/bench/parts; one that fails leaves its rows out, is
named at the end, and the exit status says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.audio.table import PARTS, RESULT, Row, read_part, text, write_result

ECHO = RESULT.parent / "echo.json"  # the echo bench writes rows of its own, see `echo_rows`
BENCHES = {  # name of the part: module, its arguments in a quick run
    "quality": ("tests.bench.audio.quality", ["--quick"]),
    "cost": ("tests.bench.audio.cost", ["--rounds", "1"]),
    "echo": ("tests.bench.echo", []),
}


def run(name: str, quick: bool) -> str:
    """Run one bench; what went wrong, or "" ."""
    module, quick_arguments = BENCHES[name]
    path_of(name).unlink(missing_ok=True)
    print(f"== {module}", file=sys.stderr)
    command = [sys.executable, "-m", module, *(quick_arguments if quick else [])]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        return f"{module} ended with status {done.returncode}"
    return "" if path_of(name).exists() else f"{module} wrote no {path_of(name)}"


def path_of(name: str) -> Path:
    return ECHO if name == "echo" else PARTS / f"{name}.json"


def echo_rows(path: Path) -> list[Row]:
    """Rows of `tests.bench.echo`, `{figure: "figure: scene", ours, aec3, speexdsp, unit, aim}`; an aim is a least."""
    rows = []
    for one in json.loads(path.read_text()):
        figure, _, scene = one["figure"].partition(": ")
        others = {name: one[key] for key, name in (("aec3", "AEC3 alone"), ("speexdsp", "libspeexdsp")) if key in one}
        aim, ours = one["aim"], one["ours"]
        met = None if aim is None or ours is None else ours >= aim
        rows.append(
            Row(
                figure,
                scene,
                ours,
                unit=one["unit"],
                aim="" if aim is None else f">= {aim:g}",
                met=met,
                others={name: value for name, value in others.items() if value is not None},
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, one round")
    parser.add_argument("--only", choices=list(BENCHES), help="one bench; the other rows are those of their last run")
    arguments = parser.parse_args()
    began_s = time.monotonic()
    failures = [
        problem for name in BENCHES if arguments.only in (None, name) and (problem := run(name, arguments.quick))
    ]
    rows: list[Row] = []
    for name in BENCHES:
        if (path := path_of(name)).exists():
            rows += echo_rows(path) if name == "echo" else read_part(path)
    machine = f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}"
    write_result(rows, {"machine": machine, "quick": arguments.quick, "seconds": round(time.monotonic() - began_s)})
    print(text(rows))
    print(f"\nwritten to {RESULT}")
    for problem in failures:
        print(f"not complete: {problem}", file=sys.stderr)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
