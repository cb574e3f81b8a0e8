"""Candidates one by one: ours go out as they are found, the far end's come in as events; FreeSWITCH gets none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from agent.calls.reasons import Cause
from agent.gateway.dialog import DialogParams
from agent.gateway.errors import GatewayRefused, GatewayTimeout, LineDown
from agent.gateway.events import LineState, RemoteCandidate

OFFER = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\n"
ANSWER = "v=0\r\no=FreeSWITCH 2 2 IN IP4 0.0.0.0\r\n"
BOB = DialogParams("bob")
TEXT = "candidate:1 1 udp 2122194688 192.0.2.1 54355 typ host generation 0 ufrag Ra89"


@dataclass(frozen=True)
class Found:
    candidate: str = TEXT
    mid: str = "0"
    mline_index: int = 0


async def test_a_trickling_call_sends_its_candidates_behind_the_invite_without_waiting(bench: Any) -> None:
    peer = await bench.ready()
    inviting = bench.spawn(bench.line.invite("c", OFFER, BOB, trickle=True))
    invite = await peer.expect("invite")
    assert invite["params"]["trickle"] is True
    assert invite["params"]["dialogParams"]["trickleIce"] is True
    for number in range(3):
        await bench.line.candidate("c", Found(f"candidate:{number}"), BOB)
    await bench.line.end_of_candidates("c", BOB)
    sent = [await peer.expect("candidate") for _ in range(3)]
    assert [frame["params"]["candidate"] for frame in sent] == ["candidate:0", "candidate:1", "candidate:2"]
    end = await peer.expect("endOfCandidates")
    assert end["params"]["endOfCandidates"] is True
    assert end["params"]["dialogParams"]["callID"] == "c"
    assert not inviting.done()
    for frame in [invite, *sent, end]:
        await peer.reply(frame, {"callID": "c"})
    await inviting
    await bench.wait_for_answer(peer)
    assert bench.line.ignored_frames == {"unknown_method": 1}  # the test's own, no answer was a surprise


@pytest.mark.parametrize("method", ["answer", "attach"])
async def test_answers_trickle_too(bench: Any, method: str) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    sending = bench.spawn(getattr(bench.line, method)("c", ANSWER, BOB, trickle=True))
    frame = await peer.expect(method)
    assert frame["params"]["trickle"] is True
    await peer.reply(frame)
    await sending


async def test_freeswitch_never_gets_a_word_of_trickle(bench: Any) -> None:
    peer = await bench.ready(dialect="verto")
    assert bench.line.supports_trickle is False
    inviting = bench.spawn(bench.line.invite("c", OFFER, BOB, trickle=True))
    invite = await peer.expect("invite")
    assert "trickle" not in invite["params"]
    assert "trickleIce" not in invite["params"]["dialogParams"]
    await peer.reply(invite)
    await inviting
    await bench.line.candidate("c", Found(), BOB)
    await bench.line.end_of_candidates("c", BOB)
    updating = bench.spawn(bench.line.update_media("c", OFFER, BOB, trickle=True))
    modify = await peer.expect("modify")  # the next frame
    assert "trickle" not in modify["params"]
    await peer.reply(modify, {"sdp": ANSWER})
    assert await updating == ANSWER


async def test_no_candidate_is_sent_of_a_call_that_is_over(bench: Any) -> None:
    peer = await bench.ready()
    await bench.line.candidate("never-was", Found(), BOB)
    await bench.call(peer, "c")
    await bench.line.candidate("c", Found(), BOB)
    ending = bench.spawn(bench.line.bye("c", Cause("NORMAL_CLEARING", 16), BOB))
    frame = await peer.next()
    if frame["method"] == "telnyx_rtc.candidate":  # it may overtake the BYE, but never follow it
        frame = await peer.next()
    assert frame["method"] == "telnyx_rtc.bye"
    await peer.reply(frame)
    await ending
    await peer.expect_ack(await peer.request("display", {"callID": "c"}), "display")


async def test_a_candidate_without_a_connection_says_so(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    peer.drop()
    await bench.events.state(LineState.OFFLINE)
    with pytest.raises(LineDown):
        await bench.line.candidate("c", Found(), BOB)
    with pytest.raises(LineDown):
        await bench.line.end_of_candidates("c", BOB)


async def test_a_gateway_that_refuses_or_ignores_candidates_costs_nothing(bench: Any) -> None:
    peer = await bench.ready()
    peer.answers_pings = True
    await bench.call(peer, "c")
    await bench.line.candidate("c", Found(), BOB)
    await peer.fail(await peer.expect("candidate"), -32601, "Invalid Method")
    await bench.line.candidate("c", Found(), BOB)
    await peer.expect("candidate")
    await bench.pass_time(peer, 30)
    assert bench.line.state is LineState.READY
    assert bench.line.live_calls == {"c"}


async def test_candidates_refused_for_want_of_a_login_follow_the_repeated_invite(bench: Any) -> None:
    peer = await bench.ready()
    inviting = bench.spawn(bench.line.invite("c", OFFER, BOB, trickle=True))
    frames = [await peer.expect("invite")]
    await bench.line.candidate("c", Found(), BOB)
    await bench.line.end_of_candidates("c", BOB)
    frames += [await peer.expect("candidate"), await peer.expect("endOfCandidates")]
    for frame in frames:
        await peer.fail(frame, -32000, "Authentication Required")
    await peer.log_in(reattached=["c"])
    for method in ("invite", "candidate", "endOfCandidates"):
        await peer.reply(await peer.expect(method))
    await inviting


async def test_the_far_ends_candidates_are_told_and_acked(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    place = {"candidate": TEXT, "sdpMid": "0", "sdpMLineIndex": 0}
    await peer.expect_ack(await peer.request("candidate", {"callID": "c"} | place), "candidate")
    await peer.expect_ack(await peer.request("candidate", {"dialogParams": {"callID": "c"}} | place), "candidate")
    await peer.request("endOfCandidates", {"callID": "c", "endOfCandidates": True})
    await peer.request("endOfCandidates", {"dialogParams": {"callID": "c"}})
    await peer.expect_ack(await peer.request("candidate", {"callID": "whose?"} | place), "candidate")
    found = RemoteCandidate("desk", "c", TEXT, "0", 0)
    end = RemoteCandidate("desk", "c", "")
    assert bench.events.of(RemoteCandidate) == [found, found, end, end]


@pytest.mark.parametrize("candidate", [5, ["x"], "x" * 600, {"candidate": TEXT}])
async def test_a_candidate_that_is_none_is_refused(bench: Any, candidate: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    number = await peer.request("candidate", {"callID": "c", "candidate": candidate})
    refusal = await peer.next()
    assert (refusal["id"], refusal["error"]["code"]) == (number, -32602)
    assert bench.events.of(RemoteCandidate) == []
    assert bench.line.ignored_frames == {"bad_candidate": 1}


async def test_a_new_media_offer_returns_the_gateways_answer(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    updating = bench.spawn(bench.line.update_media("c", OFFER, BOB, trickle=True))
    modify = await peer.expect("modify")
    params = modify["params"]
    assert (params["action"], params["callID"], params["sdp"], params["trickle"]) == ("updateMedia", "c", OFFER, True)
    await peer.reply(modify, {"callID": "c", "action": "updateMedia", "sdp": ANSWER})
    assert await updating == ANSWER


@pytest.mark.parametrize("result", [{}, {"sdp": 5}, {"sdp": "hello"}])
async def test_a_media_offer_that_is_taken_without_an_answer_is_refused(bench: Any, result: dict[str, Any]) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    updating = bench.spawn(bench.line.update_media("c", OFFER, BOB))
    await peer.reply(await peer.expect("modify"), {"callID": "c"} | result)
    with pytest.raises(GatewayRefused, match="without an SDP"):
        await updating
    assert bench.line.live_calls == {"c"}


async def test_an_unanswered_media_offer_makes_the_line_look_whether_the_gateway_lives(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    updating = bench.spawn(bench.line.update_media("c", OFFER, BOB))
    await peer.expect("modify")
    await bench.clock.advance(10)
    with pytest.raises(GatewayTimeout):
        await updating
    await peer.expect("ping")
    await bench.clock.advance(5)
    await bench.events.state(LineState.OFFLINE)
    assert bench.line.live_calls == {"c"}
