"""The keeper on a virtual clock: when it fetches, what it tells, and what it says when it cannot."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from agent.settings.token_source import TokenFile
from agent.tokens.answer import TokenError
from agent.tokens.keeper import FILE_POLL_S, HURRY_S, MAX_RETRY_S, RETRY_S, UNKNOWN_RENEW_S, TokenKeeper
from tests.tokens.jwt import jwt

WALL_S = 1_800_000_000.0
DAY_S, HOUR_S = 86_400.0, 3600.0
GUARD_S = 20.0


class Rig:
    """A keeper's world: a clock that jumps from one wait to the next, and a source that gives what a test wants."""

    def __init__(self, answer: Callable[["Rig"], str]) -> None:
        self.now_s = 0.0
        self.wall_s: float | None = None  # a clock that stands wrong
        self.fetched: list[float] = []
        self.tokens: list[tuple[float, str]] = []
        self.problems: list[tuple[float, str, float | None]] = []
        self.stop_s = 10 * DAY_S
        self.stopped = asyncio.Event()
        self.at: list[tuple[float, Callable[[], None]]] = []
        self._answer = answer
        source = TokenFile(file=Path("/nowhere"), watch=True)
        self.keeper = TokenKeeper(source, self._on_token, self._on_problem, clock=self, fetcher=self)

    # the source
    async def fetch(self) -> str:
        self.fetched.append(self.now_s)
        return self._answer(self)

    def changed(self) -> bool | None:
        return None

    # the clock
    def now(self) -> float:
        return self.now_s

    def wall(self) -> float:
        return WALL_S + self.now_s if self.wall_s is None else self.wall_s

    async def wait(self, event: asyncio.Event, delay_s: float) -> None:
        end_s = self.now_s + delay_s
        for due_s, action in sorted(self.at, key=lambda entry: entry[0]):
            if due_s <= end_s:
                self.at.remove((due_s, action))
                self.now_s = max(self.now_s, due_s)
                action()
                return
        self.now_s = end_s
        if self.now_s >= self.stop_s:
            self.stopped.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    # the ears
    def _on_token(self, token: str) -> None:
        self.tokens.append((self.now_s, token))

    def _on_problem(self, text: str, seconds_left: float | None) -> None:
        self.problems.append((self.now_s, text, seconds_left))

    async def run(self, until_s: float) -> "Rig":
        self.stop_s = until_s
        task = asyncio.create_task(self.keeper.run())
        try:
            async with asyncio.timeout(GUARD_S):
                await self.stopped.wait()
        finally:
            task.cancel()
            await asyncio.wait([task])
        return self


def fresh(rig: Rig) -> str:
    return jwt(iat=WALL_S + rig.now_s, exp=WALL_S + rig.now_s + DAY_S)


async def test_a_days_token_is_renewed_after_three_quarters_of_it() -> None:
    rig = await Rig(fresh).run(3 * DAY_S)
    assert [time_s for time_s, _ in rig.tokens] == [0, 18 * HOUR_S, 36 * HOUR_S, 54 * HOUR_S]
    assert rig.problems == []


@pytest.mark.parametrize("wall_s", [0.0, WALL_S - 90 * DAY_S])
async def test_a_device_without_a_clock_renews_just_as_well(wall_s: float) -> None:
    rig = Rig(fresh)
    rig.wall_s = wall_s
    await rig.run(2 * DAY_S)
    assert [time_s for time_s, _ in rig.tokens] == [0, 18 * HOUR_S, 36 * HOUR_S]


async def test_a_token_that_says_nothing_is_fetched_every_few_hours_and_told_once() -> None:
    rig = await Rig(lambda _: "opaque").run(DAY_S)
    assert rig.fetched == [n * UNKNOWN_RENEW_S for n in range(6)]
    assert rig.tokens == [(0, "opaque")]
    assert rig.keeper.seconds_left is None


async def test_a_failure_is_told_long_before_the_token_expires_and_again_when_it_gets_urgent() -> None:
    def answer(rig: Rig) -> str:
        if rig.now_s > 0:
            raise TokenError("the backend is down")
        return fresh(rig)

    rig = await Rig(answer).run(DAY_S + HOUR_S)
    first_s, text, left_s = rig.problems[0]
    assert (first_s, text, left_s) == (18 * HOUR_S, "the backend is down", 6 * HOUR_S)
    left = [left_s for _, _, left_s in rig.problems if left_s is not None]
    assert len(left) < 15, "every attempt told"
    assert all(later <= earlier / 2 for earlier, later in pairwise(left) if later > 0)
    assert len(left) > 5


async def test_attempts_come_at_once_then_ever_more_seldom_and_never_stop() -> None:
    def answer(rig: Rig) -> str:
        raise TokenError("no route to the backend")

    rig = await Rig(answer).run(2 * HOUR_S)
    gaps = [later - earlier for earlier, later in pairwise(rig.fetched)]
    assert RETRY_S * 0.75 <= gaps[0] <= RETRY_S * 1.25
    assert all(MAX_RETRY_S * 0.75 <= gap <= MAX_RETRY_S * 1.25 for gap in gaps[8:])
    assert len(set(gaps[8:])) > 5, "without jitter"
    assert rig.problems == [(0.0, "no route to the backend", None)]
    assert rig.tokens == []


async def test_the_end_of_a_problem_is_told() -> None:
    def answer(rig: Rig) -> str:
        if len(rig.fetched) <= 3:
            raise TokenError("the backend is down")
        return fresh(rig)

    rig = await Rig(answer).run(HOUR_S)
    assert [text for _, text, _ in rig.problems] == ["the backend is down", ""]
    assert rig.problems[1][2] == DAY_S
    assert len(rig.tokens) == 1


async def test_a_source_that_goes_on_giving_the_old_token_is_told_of() -> None:
    old = jwt(iat=WALL_S, exp=WALL_S + DAY_S)
    rig = await Rig(lambda _: old).run(20 * HOUR_S)
    assert rig.problems[0] == (18 * HOUR_S, "the source still gives the old token", 6 * HOUR_S)
    assert rig.tokens == [(0, old)]


async def test_an_expired_token_is_handed_on_for_the_gateway_to_judge_and_told_of() -> None:
    rig = await Rig(lambda _: jwt(iat=WALL_S - 2 * DAY_S, exp=WALL_S - DAY_S)).run(60.0)
    assert len(rig.tokens) == 1
    assert "has expired" in rig.problems[0][1]
    assert rig.problems[0][2] == -DAY_S
    assert len(rig.fetched) > 2


async def test_a_short_lived_token_does_not_hammer_its_source() -> None:
    rig = await Rig(lambda rig: jwt(iat=WALL_S + rig.now_s, exp=WALL_S + rig.now_s + 20)).run(600.0)
    assert len(rig.fetched) == 10


async def test_a_refused_token_is_fetched_anew_but_not_in_a_rush() -> None:
    rig = Rig(fresh)
    rig.at = [(100.0, rig.keeper.hurry), (101.0, rig.keeper.hurry)]
    await rig.run(HOUR_S)
    assert rig.fetched == [0, 100, 100 + HURRY_S]


async def test_a_source_that_still_gives_the_refused_token_is_told_of_and_asked_again() -> None:
    refused, good = jwt(iat=WALL_S, exp=WALL_S + DAY_S), jwt(iat=WALL_S, exp=WALL_S + 2 * DAY_S)
    rig = Rig(lambda rig: refused if rig.now_s < 200 else good)
    rig.at = [(100.0, rig.keeper.hurry)]
    await rig.run(HOUR_S)
    text = "the source still gives the token that the gateway has refused"
    assert [problem[1:] for problem in rig.problems[:-1]] == [(text, None)]
    assert rig.problems[-1][1] == ""
    assert [token for _, token in rig.tokens] == [refused, good]
    assert rig.tokens[-1][0] < 200 + MAX_RETRY_S


async def test_a_refusal_that_the_gateway_takes_back_ends_the_trouble() -> None:
    same = jwt(iat=WALL_S, exp=WALL_S + DAY_S)
    rig = Rig(lambda _: same)
    rig.at = [(100.0, rig.keeper.hurry), (300.0, rig.keeper.accepted)]
    await rig.run(HOUR_S)
    assert [bool(problem[1]) for problem in rig.problems] == [True, False]
    assert rig.problems[-1][0] >= 300
    assert [at for at in rig.fetched if at > 400] == []


async def test_no_token_is_in_the_keepers_repr() -> None:
    rig = await Rig(lambda _: "s3cr3t-t0ken").run(60.0)
    assert "s3cr3t" not in repr(rig.keeper)


@pytest.fixture
async def watched(tmp_path: Path) -> tuple[Path, Rig]:
    """A keeper of a real file, on a virtual clock."""
    path = tmp_path / "token"
    rig = Rig(fresh)
    rig.keeper = TokenKeeper(TokenFile(file=path, watch=True), rig._on_token, rig._on_problem, clock=rig)
    return path, rig


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """As tools do it: written beside, then renamed."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(mode)
    new.rename(path)


async def test_a_file_is_read_again_as_soon_as_it_changes(watched: tuple[Path, Rig]) -> None:
    path, rig = watched
    write(path, "first\n")
    rig.at = [(62.0, lambda: write(path, "second")), (300.0, lambda: write(path, "second"))]
    await rig.run(HOUR_S)
    assert [token for _, token in rig.tokens] == ["first", "second"]
    assert 62.0 <= rig.tokens[1][0] <= 62.0 + FILE_POLL_S
    assert rig.problems == []


async def test_a_file_that_is_written_after_the_start_is_found(watched: tuple[Path, Rig]) -> None:
    path, rig = watched
    rig.at = [(100.0, lambda: write(path, "late"))]
    await rig.run(300.0)
    assert rig.problems[0][:2] == (0.0, f"no such file: {path}")
    assert rig.tokens[0][1] == "late"
    assert rig.problems[-1][1] == ""


async def test_a_file_that_others_can_read_says_so_and_is_read_once_it_is_mended(watched: tuple[Path, Rig]) -> None:
    path, rig = watched
    write(path, "token", mode=0o644)
    rig.at = [(50.0, lambda: path.chmod(0o600))]
    await rig.run(300.0)
    assert rig.problems[0][1] == f"others can read {path}: chmod 600 it"
    assert rig.tokens[0][1] == "token"
