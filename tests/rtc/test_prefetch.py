"""What waits for the next call: gathered before, fresh, for either role, and never a dead one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aioice.ice
import pytest

from agent.rtc import prefetch as prefetch_module
from agent.rtc.gathering import Gathered
from agent.rtc.peer import AudioPeer, Connected, PeerSettings
from agent.rtc.prefetch import Prefetch
from tests.device import open_descriptors
from tests.pauses import Pauses
from tests.rtc.helpers import PATIENCE_S, End
from tests.rtc.stun_server import PUBLIC, StunServer, stun_servers

PLAIN = PeerSettings()


@pytest.fixture(autouse=True)
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    here = ["127.0.0.1"]
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: list(here))
    return here


@contextlib.asynccontextmanager
async def running(prefetch: Prefetch) -> AsyncIterator[None]:
    task = asyncio.create_task(prefetch.run())
    yield
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def taken(prefetch: Prefetch, settings: PeerSettings = PLAIN) -> Gathered:
    async with asyncio.timeout(PATIENCE_S):
        while (gathered := prefetch.take(settings)) is None:
            await asyncio.sleep(0.01)
    return gathered


async def until(condition) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("role", ["it offers", "it answers"])
async def test_what_was_gathered_serves_either_role_and_belongs_to_the_call(role: str) -> None:
    prefetch = Prefetch()
    prefetch.keep(PLAIN)
    async with running(prefetch):
        ahead, other = End(PLAIN, await taken(prefetch)), End(PLAIN)
        caller, callee = (ahead, other) if role == "it offers" else (other, ahead)
        await caller.peer.accept_answer(await callee.peer.answer(await caller.peer.offer()))
        await caller.expect(Connected)
        await callee.expect(Connected)
        await ahead.peer.close()
        await other.peer.close()


async def test_a_dead_stun_server_costs_a_call_with_prefetch_nothing() -> None:
    async with stun_servers(StunServer(silent=True)) as (dead,):
        settings = PeerSettings(ice_servers=(dead.server,))
        prefetch = Prefetch()
        prefetch.keep(settings)
        async with running(prefetch):
            peer = AudioPeer(settings, lambda event: None, gathered=await taken(prefetch, settings))
            began_s = asyncio.get_running_loop().time()
            with Pauses() as pauses:
                assert "typ host" in await peer.offer()
            assert asyncio.get_running_loop().time() - began_s < 0.1 + pauses.longest_s
            await peer.close()


async def test_only_the_same_servers_count_and_keeping_twice_gathers_once() -> None:
    async with stun_servers(StunServer()) as (server,):
        with_stun = PeerSettings(ice_servers=(server.server,))
        prefetch = Prefetch()
        for _ in range(3):
            prefetch.keep(with_stun)
        async with running(prefetch):
            gathered = await taken(prefetch, PeerSettings(ice_servers=(server.server,), ptime_ms=40, trickle=True))
            assert [one.host for one in gathered.gathering.candidates] == ["127.0.0.1", PUBLIC]
            assert server.requests == 1
            assert prefetch.take(PLAIN) is None
            assert prefetch.take(with_stun) is None  # it was one
            await gathered.close()


async def test_bindings_are_kept_fresh_and_a_changed_one_is_gathered_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch_module, "KEEP_FRESH_S", 0.05)
    async with stun_servers(StunServer()) as (server,):
        settings = PeerSettings(ice_servers=(server.server,))
        prefetch = Prefetch()
        prefetch.keep(settings)
        async with running(prefetch):
            await until(lambda: server.requests >= 4)
            first = next(iter(prefetch._slots.values())).gathered
            assert first is not None
            server.mapped = "203.0.113.99"  # the NAT forgot, or the provider gave another address
            await until(lambda: next(iter(prefetch._slots.values())).gathered not in (first, None))
            gathered = await taken(prefetch, settings)
            assert [one.host for one in gathered.gathering.candidates] == ["127.0.0.1", "203.0.113.99"]
            await gathered.close()


async def test_a_stale_gathering_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch_module, "KEEP_FRESH_S", 0.05)
    monkeypatch.setattr(prefetch_module, "STALE_S", 0.1)
    prefetch = Prefetch()
    prefetch.keep(PLAIN)
    async with running(prefetch):
        await until(lambda: next(iter(prefetch._slots.values())).gathered is not None)
        first = next(iter(prefetch._slots.values())).gathered
        await until(lambda: next(iter(prefetch._slots.values())).gathered not in (first, None))


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
async def test_after_a_change_of_the_network_nothing_old_is_given_away(addresses: list[str], told: bool) -> None:
    prefetch = Prefetch()
    prefetch.keep(PLAIN)
    async with running(prefetch):
        await until(lambda: next(iter(prefetch._slots.values())).gathered is not None)
        addresses[:] = ["127.0.0.5"]
        if told:
            prefetch.renew()
        assert prefetch.take(PLAIN) is None
        gathered = await taken(prefetch)
        assert [one.host for one in gathered.gathering.candidates] == ["127.0.0.5"]
        await gathered.close()


async def test_a_change_of_the_network_while_it_gathers_begins_anew_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch_module, "_RETRY_S", (600.0, 600.0))
    async with stun_servers(StunServer(silent=True)) as (server,):
        settings = PeerSettings(ice_servers=(server.server,))
        prefetch = Prefetch()
        prefetch.keep(settings)
        async with running(prefetch):
            await server.asked.wait()
            prefetch.renew()
            await (await taken(prefetch, settings)).close()


async def test_a_call_that_ends_while_its_bindings_are_being_refreshed_hurts_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(prefetch_module, "KEEP_FRESH_S", 0.05)
    async with stun_servers(StunServer()) as (server,):
        settings = PeerSettings(ice_servers=(server.server,))
        prefetch = Prefetch()
        prefetch.keep(settings)
        async with running(prefetch):
            await until(lambda: next(iter(prefetch._slots.values())).gathered is not None)
            server.silent, asked = True, server.requests
            await until(lambda: server.requests > asked)  # a refresh is on its way
            gathered = prefetch.take(settings)
            assert gathered is not None
            await gathered.close()
            await asyncio.sleep(0.7)  # the retransmission would be due, on a closed socket
            assert not [record for record in caplog.records if record.levelname == "ERROR"]
            server.silent = False
            await (await taken(prefetch, settings)).close()


async def test_one_that_nobody_could_confirm_is_not_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch_module, "_CONFIRM_S", -1.0)
    prefetch = Prefetch()
    prefetch.keep(PLAIN)
    async with running(prefetch):
        await until(lambda: next(iter(prefetch._slots.values())).gathered is not None)
        assert prefetch.take(PLAIN) is None


async def test_without_a_network_it_tries_again_until_there_is_one(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch_module, "_RETRY_S", (0.02, 0.05))
    here, addresses[:] = list(addresses), []
    prefetch = Prefetch()
    prefetch.keep(PLAIN)
    async with running(prefetch):
        await until(lambda: next(iter(prefetch._slots.values())).failures >= 3)
        addresses[:] = here
        await (await taken(prefetch)).close()


async def test_cancelling_it_at_any_time_leaves_no_socket_and_no_task() -> None:
    async with stun_servers(StunServer(), StunServer(silent=True)) as servers:
        settings = PeerSettings(ice_servers=tuple(one.server for one in servers))
        await asyncio.sleep(0)
        for turns in (0, 1, 2, 3, 5, 8, 20, 60):
            descriptors, tasks = len(open_descriptors()), asyncio.all_tasks()
            prefetch = Prefetch()
            prefetch.keep(settings)
            async with running(prefetch):
                for _ in range(turns):
                    await asyncio.sleep(0.002)
            for _ in range(5):
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == tasks, turns
            assert len(open_descriptors()) == descriptors, turns
