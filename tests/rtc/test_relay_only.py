"""forceRelayCandidate over a real TURN server: only relay candidates leave, and voice really goes through it."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import aioice.ice
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from agent.rtc import peer as peer_module
from agent.rtc.peer import Connected, Disturbed, NoPath, PeerSettings
from tests.device import open_descriptors
from tests.rtc.coturn import MISSING, PASSWORD, Coturn, running_coturn
from tests.rtc.helpers import PATIENCE_S, End, browser_answer, connect, ends, media, next_rtp, send

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
EXPEDITED_FORWARDING = 46 << 2  # RFC 3246, in the six upper bits of the byte
RTP = b"\x80\x6f" + bytes(40)


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    with running_coturn(tmp_path_factory.mktemp("coturn")) as running:
        yield running


@pytest.fixture
def trusted(coturn: Coturn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(coturn.certificate))


def relayed(coturn: Coturn, over: str, **changes: object) -> PeerSettings:
    return PeerSettings(ice_servers=(coturn.server(over),), relay_only=True, **changes)  # type: ignore[arg-type]


def candidates_of(sdp: str) -> list[str]:
    return [line for line in sdp.splitlines() if line.startswith("a=candidate")]


@pytest.mark.parametrize("over", ["udp", "tcp", "tls"])
async def test_voice_goes_both_ways_through_the_relay_and_no_other_address_is_told(
    coturn: Coturn, trusted: None, over: str
) -> None:
    async with ends(relayed(coturn, over), relayed(coturn, over)) as (caller, callee):
        offer = await caller.peer.offer()
        answer = await callee.peer.answer(offer)
        for text in (offer, answer):
            assert [
                re.search(r"typ relay raddr 0\.0\.0\.0 rport 9$", line) is not None for line in candidates_of(text)
            ] == [True]
        await caller.peer.accept_answer(answer)
        sides = await caller.expect(Connected), await callee.expect(Connected)
        assert [one.pair.split()[0] for one in sides] == ["relay", "relay"]
        assert sides[0].handover.tx_key == sides[1].handover.rx_key
        assert caller.peer._path is not None
        (protocol,) = caller.peer._path.connection._protocols
        to_server = protocol.transport._TurnTransport__inner_protocol.transport  # type: ignore[attr-defined]
        assert to_server.get_extra_info("socket").getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == EXPEDITED_FORWARDING
        with media(sides[0]) as ours, media(sides[1]) as theirs:
            for sock, other, connected in ((ours, theirs, sides[0]), (theirs, ours, sides[1])):
                for number in range(5):
                    data = RTP + bytes([number])
                    await send(sock, connected, data)
                    assert await next_rtp(other) == data


async def test_a_stock_peer_is_reached_through_the_relay(coturn: Coturn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTrack(AudioStreamTrack())
    async with ends(relayed(coturn, "udp")) as (end,):
        await pc.setRemoteDescription(RTCSessionDescription(await end.peer.offer(), "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        await end.peer.accept_answer(pc.localDescription.sdp)
        connected = await end.expect(Connected)
        with media(connected) as sock:
            await next_rtp(sock)
        await pc.close()


async def test_a_restart_changes_from_one_relay_to_another_and_late_voice_still_arrives(
    coturn: Coturn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    async with ends(relayed(coturn, "udp"), PeerSettings()) as (near, far):
        before, theirs = await connect(near, far)
        answer, path, reaching = await browser_answer(far.peer, await near.peer.restart())
        await near.peer.accept_restart(answer)
        after = await near.expect(Connected)
        await reaching
        assert before.handover.fd != after.handover.fd
        with media(before) as former, media(after) as sock, media(theirs) as far_socket:
            await send(far_socket, theirs, RTP + b"over the former relay")
            assert await next_rtp(former) == RTP + b"over the former relay"  # which is read on for a while
            path.pair.send(RTP + b"over the new one")  # type: ignore[union-attr]
            assert await next_rtp(sock) == RTP + b"over the new one"
        await path.close()


async def test_an_allocation_that_cannot_be_refreshed_disturbs_the_call_and_a_restart_mends_it(coturn: Coturn) -> None:
    async with ends(relayed(coturn, "udp"), relayed(coturn, "udp")) as (near, far):
        await connect(near, far)
        assert near.peer._path is not None
        (protocol,) = near.peer._path.connection._protocols
        inner = protocol.transport._TurnTransport__inner_protocol  # type: ignore[attr-defined]
        inner.transport.close()  # what aioice does then
        await near.expect(Disturbed)
        anew = End(relayed(coturn, "udp"))
        await near.peer.accept_restart(await anew.peer.answer(await near.peer.restart()))
        after, theirs = await near.expect(Connected), await anew.expect(Connected)
        with media(after) as ours, media(theirs) as others:
            await send(others, theirs, RTP)
            assert await next_rtp(ours) == RTP
        await anew.peer.close()


async def test_restarts_of_a_relayed_call_leave_nothing_behind(coturn: Coturn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    monkeypatch.setattr(peer_module, "_OLD_PATH_S", 0.0)
    async with ends(relayed(coturn, "udp"), PeerSettings()) as (near, far):
        await connect(near, far)
        counts = set()
        for _ in range(6):
            answer, path, reaching = await browser_answer(far.peer, await near.peer.restart())
            await near.peer.accept_restart(answer)
            await near.expect(Connected)
            await reaching
            await path.close()
            async with asyncio.timeout(PATIENCE_S):
                while near.peer._tasks:
                    await asyncio.sleep(0.01)
            counts.add(len(open_descriptors()))
        assert len(counts) == 1


async def test_trickled_candidates_are_relayed_ones_only(coturn: Coturn) -> None:
    async with ends(relayed(coturn, "udp", trickle=True)) as (end,):
        assert not candidates_of(await end.peer.offer())
        (found,) = await end.candidates()
        assert " typ relay raddr 0.0.0.0 rport 9 generation 0 ufrag " in found.candidate


async def test_all_turn_servers_are_used_at_once(coturn: Coturn, trusted: None) -> None:
    servers = tuple(coturn.server(over) for over in ("udp", "tcp", "tls"))
    async with ends(PeerSettings(ice_servers=servers, relay_only=True, trickle=True)) as (end,):
        await end.peer.offer()
        found = await end.candidates()
        assert len({one.candidate.split()[5] for one in found}) == 3


async def test_an_untrusted_certificate_is_refused_with_its_reason(
    coturn: Coturn, caplog: pytest.LogCaptureFixture
) -> None:
    async with ends(relayed(coturn, "tls")) as (end,):
        with caplog.at_level(logging.WARNING), pytest.raises(NoPath, match="no TURN server gave a relay address"):
            await end.peer.offer()
    assert "certificate is not trusted (self-signed certificate)" in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_wrong_password_ends_in_no_path(coturn: Coturn) -> None:
    server = coturn.server("udp")
    server.credential = "another-password"
    async with ends(PeerSettings(ice_servers=(server,), relay_only=True)) as (end,):
        with pytest.raises(NoPath):
            await end.peer.offer()


async def test_a_turn_server_that_died_holds_up_no_good_bye_and_leaves_nothing(tmp_path: Path) -> None:
    before = len(open_descriptors())
    tasks = asyncio.all_tasks()
    with running_coturn(tmp_path) as dying:
        caller, callee = End(relayed(dying, "udp")), End(relayed(dying, "udp"))
        await connect(caller, callee)
        dying.stop()
        async with asyncio.timeout(10):  # aioice alone would ask for the end of the allocations for a minute
            await caller.peer.close()
            await callee.peer.close()
    for _ in range(10):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
    assert len(open_descriptors()) == before
