"""What the kernel counts of processes, besides `tests.bench.processes`."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from pathlib import Path


def wake_ups(pid: int) -> int:
    """Context switches of all threads so far: a voluntary one ends with a wake-up, any other with a cold cache."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        with contextlib.suppress(OSError):
            total += sum(int(line.split()[1]) for line in status.read_text().splitlines() if "ctxt_switches" in line)
    return total


def resident_mb(pids: list[int]) -> float:
    """Resident memory; of a file that several of the processes have mapped (a library), the largest share counts once.

    `Pss` would count a part only of what the other end of the call, on the same machine, has mapped too.
    """
    own_kb = 0
    files_kb: dict[str, int] = {}
    for pid in pids:
        mapped_kb = _mapped_kb(pid)
        own_kb += mapped_kb.pop("", 0)
        for name, size_kb in mapped_kb.items():
            files_kb[name] = max(files_kb.get(name, 0), size_kb)
    return (own_kb + sum(files_kb.values())) / 1024


def _mapped_kb(pid: int) -> dict[str, int]:
    """Resident kilobytes by file, under "" what is no file's."""
    found: dict[str, int] = defaultdict(int)
    name = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            name = words[5] if len(words) > 5 and words[5].startswith("/") else ""
        elif words[0] == "Rss:":
            found[name] += int(words[1])
    return found
