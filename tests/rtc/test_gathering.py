"""Candidates from every server at once, told as they are found; servers that do not answer cost next to nothing."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import textwrap
import threading

import aioice.ice
import pytest
from aiortc import RTCIceServer

from agent.rtc import gathering as gathering_module
from agent.rtc.gathering import GATHER_TIMEOUT_S, Gathering
from agent.rtc.ice_servers import StunServer as Stun
from agent.rtc.ice_servers import TurnServer, parse_ice_servers
from agent.rtc.peer import NoPath, PeerSettings
from agent.rtc.resolver import resolve
from agent.rtc.silence import SilentServers
from tests.pauses import Pauses
from tests.rtc.stun_server import PUBLIC, StunServer, stun_servers

LOOPBACK = "127.0.0.1"


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [LOOPBACK])


def settings(*servers: StunServer, **changes: object) -> PeerSettings:
    return PeerSettings(ice_servers=tuple(one.server for one in servers), **changes)  # type: ignore[arg-type]


def found(gathering: Gathering) -> list[tuple[str, str]]:
    return [(one.type, one.host) for one in gathering.candidates]


async def took_s(gathering: Gathering) -> float:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await gathering.wait_complete()
    return loop.time() - began_s


async def test_every_stun_server_is_asked_and_the_same_answer_counts_once() -> None:
    async with stun_servers(StunServer(), StunServer(), StunServer("203.0.113.8")) as servers:
        gathering = Gathering(settings(*servers))
        await gathering.wait_complete()
        assert gathering.ended
        assert [one.requests for one in servers] == [1, 1, 1]
        assert sorted(found(gathering)) == [("host", LOOPBACK), ("srflx", PUBLIC), ("srflx", "203.0.113.8")]
        reflexive = next(one for one in gathering.candidates if one.host == PUBLIC)
        assert (reflexive.related_address, reflexive.related_port) == (LOOPBACK, gathering.candidates[0].port)
        await gathering.close()


async def test_without_a_nat_the_reflexive_candidate_is_left_out() -> None:
    async with stun_servers(StunServer(LOOPBACK)) as servers:
        gathering = Gathering(settings(*servers))
        await gathering.wait_complete()
        assert found(gathering) == [("host", LOOPBACK)]
        assert not gathering.only_host  # it did answer
        await gathering.close()


async def test_servers_that_all_stay_silent_to_the_end_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering_module, "GATHER_TIMEOUT_S", 0.02)
    monkeypatch.setattr(gathering_module, "GATHER_LIMIT_S", 0.05)
    async with stun_servers(StunServer(silent=True)) as servers:
        gathering = Gathering(settings(*servers))
        over = asyncio.Event()
        await gathering.start()
        assert not gathering.only_host  # there may be an answer yet
        gathering.subscribe(lambda _: None, over.set)
        await over.wait()
        assert gathering.only_host
        assert "no STUN or TURN server answers" in gathering.unreachable
        await gathering.close()


async def test_an_empty_list_of_servers_leaves_the_host_only_and_ends_at_once() -> None:
    gathering = Gathering(PeerSettings(ice_servers=()))
    await gathering.start()
    assert gathering.ended
    assert found(gathering) == [("host", LOOPBACK)]
    assert not gathering.only_host
    await gathering.close()


async def test_a_dead_server_beside_a_living_one_costs_only_the_grace() -> None:
    async with stun_servers(StunServer(), StunServer(silent=True)) as servers:
        gathering = Gathering(settings(*servers))
        with Pauses() as pauses:
            first_s = await took_s(gathering)  # of the next ones it is known that the server is dead
        assert not gathering.ended
        assert ("srflx", PUBLIC) in found(gathering)
        await gathering.close()
        assert first_s < 0.1 + pauses.longest_s


async def test_when_all_are_dead_a_complete_description_waits_as_long_as_the_sdk_does() -> None:
    async with stun_servers(StunServer(silent=True)) as servers:
        gathering = Gathering(settings(*servers))
        assert GATHER_TIMEOUT_S - 0.1 < await took_s(gathering) < GATHER_TIMEOUT_S + 2
        assert found(gathering) == [("host", LOOPBACK)]
        await gathering.close()


async def test_from_the_second_time_on_a_dead_server_costs_only_the_grace_until_it_answers_again() -> None:
    async with stun_servers(StunServer(silent=True)) as servers:
        times_s = []
        for _ in range(4):
            gathering = Gathering(settings(*servers))
            times_s.append(await took_s(gathering))
            await gathering.close()
        assert times_s[0] > GATHER_TIMEOUT_S - 0.1
        assert min(times_s[1:]) < 0.1
        servers[0].silent = False
        gathering = Gathering(settings(*servers))
        await gathering.wait_complete()
        assert ("srflx", PUBLIC) in found(gathering)  # it is asked all the same
        await gathering.close()
        servers[0].silent = True
        gathering = Gathering(settings(*servers))
        assert await took_s(gathering) > GATHER_TIMEOUT_S - 0.1  # and has a good name again
        await gathering.close()


@pytest.mark.parametrize("how", ["trickle", "TURN"])
async def test_a_dead_server_is_known_from_every_kind_of_call(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering_module, "GATHER_TIMEOUT_S", 0.5)
    async with stun_servers(StunServer(silent=True)) as (server,):
        turn = RTCIceServer(urls=f"turn:127.0.0.1:{server.port}", username="u", credential="c")
        asked = settings(server) if how == "trickle" else PeerSettings(ice_servers=(turn,))
        gathering = Gathering(asked)
        await gathering.start()  # who trickles does not wait
        await asyncio.sleep(0.6)
        await gathering.close()
        times_s = []
        for _ in range(3):
            gathering = Gathering(asked)
            times_s.append(await took_s(gathering))
            await gathering.close()
        assert min(times_s) < 0.1


async def test_a_call_that_ends_at_once_says_nothing_of_a_server() -> None:
    async with stun_servers(StunServer(silent=True)) as servers:
        gathering = Gathering(settings(*servers))
        await gathering.start()
        await gathering.close()
        gathering = Gathering(settings(*servers))
        assert await took_s(gathering) > GATHER_TIMEOUT_S - 0.1
        await gathering.close()


def test_of_silent_servers_only_the_latest_are_known() -> None:
    silent = SilentServers()
    for number in range(1000):
        silent.add(number)
    assert [number in silent for number in (0, 900, 936, 999)] == [False, False, True, True]
    silent.discard(999)
    silent.discard(999)
    assert 999 not in silent


async def test_one_that_is_closed_while_it_starts_says_so_and_cancels_nobody_else() -> None:
    gathering = Gathering(PeerSettings())
    starting = asyncio.create_task(gathering.wait_complete())
    await asyncio.sleep(0)
    await gathering.close()
    with pytest.raises(NoPath):
        await starting


async def test_at_the_limit_the_rest_is_given_up_and_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering_module, "GATHER_LIMIT_S", 0.2)
    async with stun_servers(StunServer(silent=True)) as servers:
        gathering, ended, told = Gathering(settings(*servers)), asyncio.Event(), []
        await gathering.start()
        gathering.subscribe(told.append, ended.set)
        async with asyncio.timeout(10):
            await ended.wait()
        assert [one.type for one in told] == ["host"]
        assert gathering.ended
        await gathering.close()


async def test_who_subscribes_late_is_told_everything_in_order() -> None:
    async with stun_servers(StunServer()) as servers:
        gathering, ended, told = Gathering(settings(*servers)), asyncio.Event(), []
        await gathering.wait_complete()
        gathering.subscribe(told.append, ended.set)
        assert told == []  # never while the caller is still busy with its description
        await ended.wait()
        assert [one.type for one in told] == ["host", "srflx"]
        await gathering.close()


async def test_a_look_up_that_hangs_delays_neither_the_host_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(30) and [])
    gathering = Gathering(PeerSettings(ice_servers=(RTCIceServer(urls="stun:hangs.invalid"),)))
    await gathering.start()
    assert found(gathering) == [("host", LOOPBACK)]
    async with asyncio.timeout(10):
        await gathering.close()
    release.set()


def test_a_look_up_that_hangs_does_not_hold_up_the_exit_of_the_program() -> None:
    program = """
        import asyncio, socket, time
        socket.getaddrinfo = lambda *_, **__: time.sleep(60)
        from agent.rtc.resolver import resolve
        async def main():
            try:
                await asyncio.wait_for(resolve("hangs.invalid"), 0.1)
            except TimeoutError:
                print("went on")
        asyncio.run(main())
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=40, check=True
    )
    assert run.stdout == "went on\n"


async def test_look_ups_of_one_name_share_a_thread_and_ipv4_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        calls.append(host)
        return [(0, 0, 0, "", ("2001:db8::1", 0, 0, 0)), (0, 0, 0, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert await asyncio.gather(resolve("a.example"), resolve("a.example")) == ["192.0.2.1"] * 2
    assert calls == ["a.example"]
    assert await resolve("2001:db8::9") == "2001:db8::9"


def test_servers_are_read_from_their_uris_each_once() -> None:
    stun, turn = parse_ice_servers(
        [
            RTCIceServer(urls=["stun:stun.example", "stun:stun.example:3478", "stun:[2001:db8::1]:1"]),
            RTCIceServer(
                urls=["turn:t.example", "turn:t.example:80?transport=tcp", "turns:t.example?transport=tcp"],
                username="u",
                credential="secret",
            ),
        ]
    )
    assert stun == (Stun("stun.example", 3478), Stun("2001:db8::1", 1))
    assert [(one.host, one.port, one.transport) for one in turn] == [
        ("t.example", 3478, "udp"),
        ("t.example", 80, "tcp"),
        ("t.example", 5349, "tls"),
    ]
    assert "secret" not in repr(turn)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("stuns:s.example", "use stun:"),
        ("turns:s.example?transport=udp", "TURN over DTLS"),
        ("turn:s.example:70000", "not one from 1 to 65535"),
        ("turn:user:hunter2@s.example", "expected stun:host"),
        ("http://s.example", "expected stun:host"),
        ("", "expected stun:host"),
    ],
)
def test_what_cannot_be_used_is_left_out_with_one_line(uri: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        servers = parse_ice_servers([RTCIceServer(urls=uri, username="u", credential="hunter2")])
    assert servers == ((), ())
    assert len(caplog.records) == 1
    assert reason in caplog.text
    assert "hunter2" not in caplog.text


def test_a_turn_server_needs_credentials() -> None:
    assert parse_ice_servers([RTCIceServer(urls="turn:s.example")]) == ((), ())
    (server,) = parse_ice_servers([RTCIceServer(urls="turn:s.example", username="u", credential="c")])[1]
    assert server == TurnServer("s.example", 3478, "udp", "u", "c")
