"""ICE restarts that meet one another, the end of the call, a hostile far end or a media process that died."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

import aioice.ice
import pytest
from aiortc.rtcdtlstransport import SRTP_PROFILES
from OpenSSL import SSL

from agent.rtc import dtls as dtls_module
from agent.rtc import peer as peer_module
from agent.rtc import sdp
from agent.rtc.aiortc_seams import Certificate
from agent.rtc.path import Path
from agent.rtc.peer import Connected, Failed, NoPath, PeerSettings, RestartFailed
from agent.rtc.restart import Restart
from tests.device import open_descriptors
from tests.rtc.helpers import PATIENCE_S, End, browser_answer, connect, ends, media, next_rtp, send

PLAIN = PeerSettings()
RTP = b"\x80\x6f" + bytes(40)


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


def is_read_here(connected: Connected) -> bool:
    return connected.handover.fd in asyncio.get_running_loop()._selector.get_map()  # type: ignore[attr-defined]


async def restarted(near: End, far: End) -> tuple[Connected, Path]:
    """Restart towards a far end that goes on as a browser does."""
    answer, path, reaching = await browser_answer(far.peer, await near.peer.restart())
    await near.peer.accept_restart(answer)
    connected = await near.expect(Connected)
    assert await reaching
    return connected, path


async def checked_by(path: Path) -> tuple[str, int]:
    """Have a far end check its pair (consent); the address that answered."""
    connection = path.connection
    assert connection.selected is not None
    assert connection.remote_password is not None
    request = connection.build_request(connection.selected, nominate=False)
    where, key = connection.selected.remote_addr, connection.remote_password.encode()
    _, address = await connection.selected.protocol.request(request, where, key)
    return address


def client_hello() -> bytes:
    """How a stranger begins a handshake, and never goes on."""
    stranger = SSL.Connection(Certificate.generateCertificate()._create_ssl_context(SRTP_PROFILES))
    stranger.set_connect_state()
    with contextlib.suppress(SSL.WantReadError):
        stranger.do_handshake()
    return bytes(stranger.bio_read(2048))


async def forward(sock: socket.socket, near: End) -> None:
    """As the media process: hand on what is not RTP."""
    while True:
        near.peer.inject(*await asyncio.get_running_loop().sock_recvfrom(sock, 2048))


async def test_nobody_but_the_media_process_reads_the_former_socket_and_the_new_one_and_both_answer_checks() -> None:
    async with ends(PLAIN, PLAIN) as (near, far):
        before, theirs = await connect(near, far)
        after, path = await restarted(near, far)
        assert not is_read_here(before)
        assert not is_read_here(after)
        far.peer.resume_reading()
        assert far.peer._path is not None
        for connected, asking in ((before, far.peer._path), (after, path)):
            with media(connected) as sock:
                forwarding = asyncio.create_task(forward(sock, near))
                async with asyncio.timeout(PATIENCE_S):
                    assert await checked_by(asking) == sock.getsockname()
                forwarding.cancel()
                await asyncio.wait({forwarding})
        near.peer.resume_reading()  # the media process has died
        assert is_read_here(before)
        assert is_read_here(after)
        near.peer.pause_reading()  # the next one knows the newest path only
        assert is_read_here(before)
        assert not is_read_here(after)
        with media(after) as sock, media(theirs) as far_socket:
            await send(far_socket, theirs, RTP)  # late, by the former path
            assert await next_rtp(sock) == RTP
        await path.close()


async def test_two_restarts_at_once_leave_one_and_the_later_offer_is_good() -> None:
    async with ends(PLAIN, PLAIN) as (near, far):
        await connect(near, far)
        first, second = await asyncio.gather(near.peer.restart(), near.peer.restart())
        assert len(near.peer._paths) == 2
        assert sdp.parse(first).ice_ufrag != sdp.parse(second).ice_ufrag
        answer, path, reaching = await browser_answer(far.peer, second)
        await near.peer.accept_restart(answer)
        await near.expect(Connected)
        assert await reaching
        await path.close()


async def test_a_second_answer_to_a_restart_is_refused() -> None:
    async with ends(PLAIN, PLAIN) as (near, far):
        await connect(near, far)
        answer, path, reaching = await browser_answer(far.peer, await near.peer.restart())
        await near.peer.accept_restart(answer)
        with pytest.raises(sdp.SdpError, match="not on its way any more"):
            await near.peer.accept_restart(answer)
        await near.expect(Connected)
        assert await reaching
        await path.close()


async def test_the_end_of_a_call_during_a_restart_leaves_no_socket_and_no_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, int)  # its thread stays
    for turns in (0, 1, 2, 3, 5, 8, 12, 20):
        descriptors, tasks = len(open_descriptors()), asyncio.all_tasks()
        async with ends(PLAIN, PLAIN) as (near, far):
            await connect(near, far)
            restarting = asyncio.create_task(near.peer.restart())
            for _ in range(turns):
                await asyncio.sleep(0)
            await near.peer.close()
            await asyncio.wait({restarting})
            assert restarting.exception() is None or isinstance(restarting.exception(), NoPath)
        for _ in range(10):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == tasks, turns
        assert len(open_descriptors()) == descriptors, turns
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_what_becomes_of_a_restart_that_was_replaced_does_not_hurt_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stumble = asyncio.Event()
    reach = Restart.reach

    async def stumbling(_self: Restart, _remote: sdp.RemoteAudio) -> None:
        await stumble.wait()
        raise ValueError("unforeseen")

    async with ends(PLAIN, PLAIN) as (near, far):
        await connect(near, far)
        monkeypatch.setattr(Restart, "reach", stumbling)
        answer, path, reaching = await browser_answer(far.peer, await near.peer.restart())
        await near.peer.accept_restart(answer)
        monkeypatch.setattr(Restart, "reach", reach)
        offer = await near.peer.restart()
        stumble.set()
        await asyncio.sleep(0.01)
        assert near.events.empty()
        reaching.cancel()
        await path.close()
        answer, path, reaching = await browser_answer(far.peer, offer)
        await near.peer.accept_restart(answer)
        await near.expect(Connected)
        assert await reaching
        await path.close()


async def test_a_restart_towards_a_second_certificate_is_not_taken_for_the_known_far_end() -> None:
    """One fingerprint that fits does not make up for another that does not."""
    async with ends(PLAIN, PLAIN) as (near, far):
        before, theirs = await connect(near, far)
        anew = End(PLAIN)
        answer = await anew.peer.answer(await near.peer.restart())
        known = sdp.parse(sdp.write(far.peer._local)).fingerprints[0]  # type: ignore[arg-type]
        answer = answer.replace("a=fingerprint:", f"a=fingerprint:sha-256 {known.value}\r\na=fingerprint:", 1)
        await near.peer.accept_restart(answer)
        await near.expect(RestartFailed)
        with media(before) as ours, media(theirs) as others:
            await send(others, theirs, RTP)
            assert await next_rtp(ours) == RTP
        await anew.peer.close()


async def test_a_forged_client_hello_after_a_restart_does_not_cost_the_association(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dtls_module, "HANDSHAKE_S", 0.2)
    async with ends(PLAIN, PLAIN) as (near, far):
        await connect(near, far)
        after, path = await restarted(near, far)
        former = near.peer._association
        assert former is not None
        near.peer.inject(client_hello(), after.handover.remote)  # type: ignore[arg-type]
        async with asyncio.timeout(PATIENCE_S):
            while any(task.get_name() == "peer.dtls" for task in near.peer._tasks):
                await asyncio.sleep(0.01)
        assert near.peer._association is former
        near.peer.resume_reading()
        assert far.peer._association is not None
        far.peer._association.carry(path.connection)
        await far.peer.close()  # its good-bye is heard by the association that it belongs to
        assert (await near.expect(Failed)).text == "the far end closed the audio connection (DTLS)"
        await path.close()


async def test_fifty_restarts_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "_OLD_PATH_S", 0.0)
    async with ends(PLAIN, PLAIN) as (near, far):
        await connect(near, far)
        descriptors: set[int] = set()
        tasks: list[int] = []
        for _ in range(50):
            _, path = await restarted(near, far)
            await path.close()
            async with asyncio.timeout(PATIENCE_S):
                while len(near.peer._tasks) > 0:
                    await asyncio.sleep(0)
            for _ in range(5):
                await asyncio.sleep(0)
            descriptors.add(len(open_descriptors()))
            tasks.append(len(asyncio.all_tasks()))
        assert len(descriptors) == 1
        assert max(tasks) - min(tasks) <= 2  # a check that is just ending
