"""Judges: what the receivers of a call played is scored in other processes, while the next calls are made."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import sys
import tempfile
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.audio.heard import Heard
from tests.bench.audio.impairments import Impairment
from tests.bench.audio.scores import Score, score
from tests.bench.audio.sender import Coded
from tests.bench.audio.speech import Stream

# Behind the calls where these could not get real-time priority, and not quite the last on a machine with other work.
JUDGES_NICE = 5


@dataclass(frozen=True)
class Condition:
    """One row: a network, and how wrong the sender's clock is."""

    name: str
    impairment: Impairment
    drift_ppm: float = 0.0


@dataclass(frozen=True)
class Session:
    """One call to each receiver: a row with one seed."""

    condition: Condition
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of a session. `link` is the emulator's account, one for each receiver; `late_s` how long the machine
    stood still at worst."""

    session: Session
    scores: dict[str, Score]
    statistics: dict[str, dict[str, Any]]
    link: list[dict[str, Any]]
    late_s: float


@dataclass(frozen=True)
class Call:
    """A session as it went, yet to be judged."""

    session: Session
    stream: Stream
    coded: Coded
    sent_s: list[float]
    heard: dict[str, Heard]
    link: list[dict[str, Any]]
    late_s: float  # of sender, link or a receiver's thread, whichever was worst


def judge(path: Path) -> Outcome:
    """What came of the call that `Judges` has filed there."""
    call: Call = pickle.loads(path.read_bytes())
    path.unlink()
    scores = {}
    for peer, heard in call.heard.items():
        try:
            scores[peer] = score(call.stream, call.coded.decoded, call.sent_s, heard)
        except ValueError as error:
            print(f"{call.session.condition.name}, seed {call.session.seed}, {peer}: {error}", file=sys.stderr)
    return Outcome(
        call.session, scores, {peer: heard.statistics for peer, heard in call.heard.items()}, call.link, call.late_s
    )


class Judges:
    """Processes that judge calls while the next ones are made, with what these leave of the processor. Use with `with`.

    They get a call by way of a file: handing it over otherwise would hold the interpreter's lock at some later moment,
    when the sender's thread needs it.
    """

    def __enter__(self) -> Judges:
        self._stack = contextlib.ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="callpoint-calls-")))
        # Not forked: this process has threads by the time the first judge is needed.
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(os.cpu_count(), spawn, initializer=os.nice, initargs=(JUDGES_NICE,))
        self._pool = self._stack.enter_context(pool)
        self._outcomes: dict[Session, Future[Outcome]] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def file(self, call: Call) -> None:
        path = self._folder / str(len(self._outcomes))
        path.write_bytes(pickle.dumps(call))
        self._outcomes[call.session] = self._pool.submit(judge, path)

    def outcome(self, session: Session) -> Outcome:
        """Waits for it."""
        return self._outcomes[session].result()
