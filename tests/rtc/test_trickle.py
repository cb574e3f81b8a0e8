"""Descriptions that leave at once, candidates that follow one by one: ours as the SDK's, and the far end's."""

from __future__ import annotations

import asyncio
import re

import aioice.ice
import pytest
from aiortc import RTCIceServer

from agent.rtc.path import parse_candidate
from agent.rtc.peer import CandidatesEnd, Connected, Failed, LocalCandidate, NoPath, PeerSettings
from tests.pauses import Pauses
from tests.rtc.helpers import End, ends
from tests.rtc.stun_server import PUBLIC, StunServer, stun_servers

TRICKLE = PeerSettings(trickle=True)


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


def without_candidates(sdp: str) -> str:
    kept = [line for line in sdp.splitlines() if not line.startswith(("a=candidate", "a=end-of-candidates"))]
    return "\r\n".join(kept) + "\r\n"


def candidates_of(sdp: str) -> list[str]:
    return [line.removeprefix("a=") for line in sdp.splitlines() if line.startswith("a=candidate")]


async def test_the_offer_leaves_before_a_silent_server_has_answered_and_looks_like_the_sdks() -> None:
    async with stun_servers(StunServer(silent=True)) as servers:
        settings = PeerSettings(trickle=True, ice_servers=(servers[0].server,))
        async with ends(settings) as (end,):
            began_s = asyncio.get_running_loop().time()
            with Pauses() as pauses:
                lines = (await end.peer.offer()).splitlines()
            assert asyncio.get_running_loop().time() - began_s < 0.1 + pauses.longest_s
            assert next(line for line in lines if line.startswith("m=")).startswith("m=audio 9 UDP/TLS/RTP/SAVPF 111 ")
            assert "c=IN IP4 0.0.0.0" in lines
            assert "a=ice-options:trickle" in lines
            assert not [line for line in lines if "candidate" in line]


async def test_each_candidate_is_told_as_it_is_found_in_the_sdks_form() -> None:
    async with (
        stun_servers(StunServer()) as servers,
        ends(PeerSettings(trickle=True, ice_servers=(servers[0].server,))) as (end,),
    ):
        offer = await end.peer.offer()
        assert end.events.empty()
        ufrag = re.search(r"a=ice-ufrag:(\S+)", offer)[1]  # type: ignore[index]
        found = await end.candidates()
    assert [(one.mid, one.mline_index) for one in found] == [("0", 0), ("0", 0)]
    host = re.fullmatch(
        rf"candidate:\w{{1,32}} 1 udp \d+ 127\.0\.0\.1 (\d+) typ host generation 0 ufrag {ufrag}", found[0].candidate
    )
    assert host is not None
    assert re.fullmatch(
        rf"candidate:\w{{1,32}} 1 udp \d+ {re.escape(PUBLIC)} {host[1]} typ srflx raddr 127\.0\.0\.1 rport {host[1]}"
        rf" generation 0 ufrag {ufrag}",
        found[1].candidate,
    )


async def exchange(one: End, other: End) -> tuple[Connected, Connected]:
    """Everything that either tells goes to the other, until both are connected."""
    connected: dict[End, Connected] = {}

    async def carry(source: End, target: End) -> None:
        while True:
            match await source.next():
                case LocalCandidate(candidate=candidate):
                    await target.peer.add_candidate(candidate)
                case CandidatesEnd():
                    await target.peer.add_candidate("")
                case Connected() as event:
                    connected[source] = event
                    return
                case other_event:
                    raise AssertionError(other_event)

    async with asyncio.timeout(20):
        await asyncio.gather(carry(one, other), carry(other, one))
    return connected[one], connected[other]


async def test_two_ends_that_both_trickle_connect() -> None:
    async with ends(TRICKLE, TRICKLE) as (caller, callee):
        await caller.peer.accept_answer(await callee.peer.answer(await caller.peer.offer()))
        ours, theirs = await exchange(caller, callee)
        assert ours.handover.tx_key == theirs.handover.rx_key


async def test_a_call_whose_relays_all_fail_is_ended_by_name_when_its_invite_has_left() -> None:
    async with stun_servers(StunServer(silent=True)) as (dead,):
        turn = RTCIceServer(urls=f"turn:127.0.0.1:{dead.port}", username="u", credential="c")
        settings = PeerSettings(trickle=True, relay_only=True, ice_servers=(turn,))
        async with ends(settings) as (end,):
            assert "candidate" not in await end.peer.offer()
            failed = await end.expect(Failed)
            assert failed.text.startswith("no TURN server gave a relay address")
            assert end.events.empty()


async def test_a_relay_only_call_without_a_turn_server_is_not_placed() -> None:
    async with ends(PeerSettings(trickle=True, relay_only=True)) as (end,):
        with pytest.raises(NoPath, match="no TURN server gave a relay address"):
            await end.peer.offer()


@pytest.mark.parametrize("when", ["before the answer", "after the answer"])
async def test_the_far_ends_candidates_are_taken_whenever_they_come(when: str) -> None:
    async with ends(PeerSettings(), PeerSettings()) as (caller, callee):
        offer = await caller.peer.offer()
        answer = await callee.peer.answer(without_candidates(offer))
        texts = [*candidates_of(answer), ""]
        if when == "after the answer":
            await caller.peer.accept_answer(without_candidates(answer))
        for text in texts:
            await caller.peer.add_candidate(text)
        if when == "before the answer":
            await caller.peer.accept_answer(without_candidates(answer))
        await caller.expect(Connected)
        await callee.expect(Connected)


async def test_candidates_of_an_incoming_call_may_come_before_it_is_answered() -> None:
    async with ends(PeerSettings(), PeerSettings()) as (caller, callee):
        offer = await caller.peer.offer()
        for text in candidates_of(offer):
            await callee.peer.add_candidate(text)
        answer = await callee.peer.answer(without_candidates(offer))
        path = callee.peer._path
        assert path is not None
        assert [one.port for one in path.connection.remote_candidates]
        await caller.peer.accept_answer(answer)
        await callee.expect(Connected)


@pytest.mark.parametrize(
    "text",
    [
        "candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype active",
        "candidate:1 1 udp 1 0a7c3f60-1b7e-4c2f-9d31-aa02b1a2f9d0.local 5000 typ host",
        "candidate:1 1 udp 1 127.0.0.1 0 typ host",
        "candidate:1 2 udp 1 127.0.0.1 5000 typ host",
        "candidate:1 1 udp 1 127.0.0.1 5000 typ host generation 0 ufrag earlier",
        "candidate:",
        "nonsense",
        "candidate:1 1 udp x y z",
    ],
)
def test_candidates_that_cannot_be_used_are_skipped(text: str) -> None:
    assert parse_candidate(text, "now") is None


def test_a_candidate_is_read_with_and_without_its_word_and_with_the_browsers_extensions() -> None:
    value = "3153849338 1 udp 2122194688 10.0.0.5 54355 typ host generation 0 ufrag Ra89 network-id 3"
    for text in (value, f"candidate:{value}", f"a=candidate:{value}\r\n"):
        candidate = parse_candidate(text, "Ra89")
        assert candidate is not None
        assert (candidate.host, candidate.port, candidate.type) == ("10.0.0.5", 54355, "host")
