"""ICE restart: another path takes over while the first one serves, whatever the far end makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
from collections.abc import Callable

import aioice.ice
import pytest

from agent.rtc import consent as consent_module
from agent.rtc import peer as peer_module
from agent.rtc import restart as restart_module
from agent.rtc import sdp
from agent.rtc.gathering import Gathered
from agent.rtc.peer import Connected, Disturbed, Failed, NoPath, PeerSettings, RestartFailed
from tests.device import open_descriptors
from tests.pauses import Pauses
from tests.rtc.helpers import PATIENCE_S, End, browser_answer, connect, ends, media, next_rtp, send

PLAIN = PeerSettings()
RTP = b"\x80\x6f" + bytes(40)


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


def value(text: str, name: str) -> str:
    return re.search(rf"^{re.escape(name)}(.*?)\r?$", text, re.MULTILINE)[1]  # type: ignore[index]


@pytest.mark.parametrize("first", ["we offered", "we answered"])
async def test_a_browser_goes_on_with_its_keys_over_the_new_path(first: str) -> None:
    async with ends(PLAIN, PLAIN) as (near, far):
        before, _ = await connect(near, far) if first == "we offered" else (await connect(far, near))[::-1]
        controlling = near.peer._path.connection.ice_controlling  # type: ignore[union-attr]
        former = sdp.write(near.peer._local)  # type: ignore[arg-type]
        offer = await near.peer.restart()
        for name in ("a=fingerprint:", "a=ssrc:", "a=mid:", "m=audio "):
            assert value(offer, name).split()[1:] == value(former, name).split()[1:], name
        for name in ("a=ice-ufrag:", "a=ice-pwd:"):
            assert value(offer, name) != value(former, name)
        assert [part.split()[:3] for part in (value(former, "o="), value(offer, "o="))] == [
            ["-", value(former, "o=").split()[1], "1"],
            ["-", value(former, "o=").split()[1], "2"],
        ]
        assert value(offer, "a=setup:") == "actpass"
        answer, path, reaching = await browser_answer(far.peer, offer)
        await near.peer.accept_restart(answer)
        after = await near.expect(Connected)
        assert await reaching
        ours, theirs = after.handover, before.handover
        assert (ours.tx_key, ours.rx_key, ours.ssrc) == (theirs.tx_key, theirs.rx_key, theirs.ssrc)
        assert ours.fd != theirs.fd
        assert near.peer._path.connection.ice_controlling is controlling  # type: ignore[union-attr]
        with media(after) as sock:
            path.pair.send(RTP)  # type: ignore[union-attr]
            assert await next_rtp(sock) == RTP
        await path.close()


async def test_voice_has_no_gap_while_the_socket_changes() -> None:
    """The far end sends every 20 ms, over the old path until it knows the new one."""
    async with ends(PLAIN, PLAIN) as (near, far):
        before, theirs = await connect(near, far)
        loop = asyncio.get_running_loop()
        heard: dict[int, float] = {}
        route: Callable[[bytes], None]
        with media(before) as old, media(theirs) as far_socket:
            route = lambda data: far_socket.sendto(data, theirs.handover.remote) and None  # noqa: E731
            sockets: list[socket.socket] = [old]  # as the media process: the former one is read on for a while
            done = asyncio.Event()

            async def speak() -> None:
                number = 0
                while not done.is_set():
                    route(RTP + number.to_bytes(2, "big"))
                    number += 1
                    await asyncio.sleep(0.02)

            async def listen() -> None:
                while not done.is_set():
                    await asyncio.sleep(0.002)
                    for sock in sockets:
                        with contextlib.suppress(BlockingIOError):
                            data, address = sock.recvfrom(2048)
                            if data[0] >= 128:
                                heard[int.from_bytes(data[-2:], "big")] = loop.time()
                            else:
                                near.peer.inject(data, address)

            with Pauses() as pauses:
                tasks = [asyncio.create_task(speak()), asyncio.create_task(listen())]
                await asyncio.sleep(0.2)
                answer, path, reaching = await browser_answer(far.peer, await near.peer.restart())
                await near.peer.accept_restart(answer)
                after = await near.expect(Connected)
                assert await reaching
                with media(after) as new:
                    sockets.append(new)
                    await asyncio.sleep(0.2)  # the far end is slow to change over
                    route = path.pair.send  # type: ignore[union-attr]
                    await asyncio.sleep(0.2)
                    done.set()
                    await asyncio.wait(tasks)
        numbers = sorted(heard)
        assert numbers[-1] - numbers[0] + 1 == len(numbers) > 20  # not one is lost
        times = sorted(heard.values())
        assert max(late - early for early, late in itertools.pairwise(times)) < 0.3 + pauses.longest_s
        await path.close()


@pytest.mark.parametrize("certificate", ["another certificate", "the same certificate"])
async def test_a_gateway_that_makes_everything_anew_gets_a_new_handshake_and_new_keys(certificate: str) -> None:
    async with ends(PLAIN, PLAIN) as (near, far):
        before, _ = await connect(near, far)
        same = Gathered(PLAIN, far.peer._identity.certificate) if certificate == "the same certificate" else None
        anew = End(PLAIN, same)
        await near.peer.accept_restart(await anew.peer.answer(await near.peer.restart()))
        after = await near.expect(Connected)
        while after.handover.tx_key == before.handover.tx_key:  # the same fingerprint: known by its ClientHello only
            near.peer.resume_reading()  # as the media process would, and inject it
            after = await near.expect(Connected)
        theirs = await anew.expect(Connected)
        assert after.handover.rx_key == theirs.handover.tx_key
        assert after.handover.ssrc == before.handover.ssrc
        with media(after) as ours, media(theirs) as others:
            await send(others, theirs, RTP)
            assert await next_rtp(ours) == RTP
            await send(ours, after, RTP + b"back")
            assert await next_rtp(others) == RTP + b"back"
        await far.peer.close()  # the former association's good-bye is nobody's business any more
        for _ in range(20):
            await asyncio.sleep(0)
        assert near.events.empty()
        await anew.peer.close()


@pytest.mark.parametrize("fault", ["no path", "wrong fingerprint", "silence"])
async def test_a_failed_restart_leaves_the_call_on_its_old_path(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart_module, "RESTART_S", 2.0)
    async with ends(PLAIN, PLAIN) as (near, far):
        before, theirs = await connect(near, far)
        anew = End(PLAIN)
        answer = await anew.peer.answer(await near.peer.restart())
        if fault == "no path":
            answer = re.sub(r"a=candidate.*\r\n", "", answer)
            await anew.peer.close()
        elif fault == "wrong fingerprint":
            answer = re.sub(r"(a=fingerprint:sha-256 ).*", r"\1" + ":".join(["AB"] * 32), answer)
        else:
            await anew.peer.close()
        await near.peer.accept_restart(answer)
        failed = await near.expect(RestartFailed)
        assert failed.text.startswith("ICE restart: ")
        with media(before) as ours, media(theirs) as others:
            await send(others, theirs, RTP)
            assert await next_rtp(ours) == RTP
        answer, path, reaching = await browser_answer(far.peer, await near.peer.restart())
        await near.peer.accept_restart(answer)
        await near.expect(Connected)
        await reaching
        await path.close()
        await anew.peer.close()


async def test_an_unusable_answer_is_refused_and_a_second_attempt_replaces_the_first() -> None:
    async with ends(PLAIN, PLAIN) as (near, far):
        await connect(near, far)
        await near.peer.restart()
        with pytest.raises(sdp.SdpError, match="expected v=0"):
            await near.peer.accept_restart("")
        offer = await near.peer.restart()
        assert value(offer, "o=").split()[2] == "3"
        answer, path, reaching = await browser_answer(far.peer, offer)
        await near.peer.accept_restart(answer)
        await near.expect(Connected)
        assert await reaching
        with pytest.raises(sdp.SdpError, match="not on its way any more"):
            await near.peer.accept_restart(answer)
        await path.close()


@pytest.mark.parametrize("answered", [True, False])
async def test_a_path_that_died_for_good_ends_the_call_unless_a_restart_brings_another(
    answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consent_module, "CONSENT_EXPIRED_S", 3.0)
    monkeypatch.setattr(peer_module, "RESTART_S", 0.5)
    async with ends(PLAIN, PLAIN) as (near, far):
        await connect(near, far)
        near.peer.resume_reading()  # and the far end does not: nobody answers there
        await near.expect(Disturbed)
        answer, path, reaching = await browser_answer(far.peer, await near.peer.restart())
        if answered:
            await near.peer.accept_restart(answer)
            await near.expect(Connected)
            near.peer.resume_reading()
            await asyncio.sleep(1.5)  # longer than the former path would have been given
            assert near.events.empty()
        else:
            assert await near.expect(Failed) == Failed(
                "the network path to the far end was lost (ICE consent expired)", was_connected=True
            )
        reaching.cancel()
        await path.close()


async def test_before_there_is_a_connection_there_is_nothing_to_restart() -> None:
    async with ends(PLAIN) as (near,):
        await near.peer.offer()
        with pytest.raises(NoPath, match="no connection yet"):
            await near.peer.restart()


async def test_the_old_sockets_are_closed_after_a_while_and_all_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "_OLD_PATH_S", 0.1)
    descriptors, tasks = len(open_descriptors()), asyncio.all_tasks()
    async with ends(PLAIN, PLAIN) as (near, far):
        await connect(near, far)
        for _ in range(3):
            answer, path, reaching = await browser_answer(far.peer, await near.peer.restart())
            await near.peer.accept_restart(answer)
            await near.expect(Connected)
            await reaching
            await path.close()
        async with asyncio.timeout(PATIENCE_S):
            while len(near.peer._paths) > 1:
                await asyncio.sleep(0.01)
        await near.peer.restart()  # and one that is never answered
    for _ in range(10):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
    assert len(open_descriptors()) == descriptors
