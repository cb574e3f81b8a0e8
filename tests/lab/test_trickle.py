"""The gateway's own candidates one by one: after its SDP, before it, and on calls to the client."""

import re

import pytest

from agent.lab.far_end import FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from agent.lab.routes import ECHO_NUMBER
from agent.lab.sdp_style import without_candidates
from tests.lab.raw_client import USERS, guarded, short


@pytest.fixture
async def trickling():
    async with LabGateway(users=USERS, trickles=True) as gateway:
        yield gateway


@pytest.fixture
async def phone():
    made = FarEnd(FarEndStyle())
    yield made
    await made.close()


async def candidates_of(client, far_end):
    """Take candidates until their end; how many there were."""
    count = 0
    while (frame := await client.next()).get("method") != "telnyx_rtc.endOfCandidates":
        if short(frame) == "candidate":
            fields = frame["params"]
            await far_end.add_candidate(fields["candidate"], fields["sdpMid"], fields["sdpMLineIndex"])
            count += 1
    return count


async def test_an_answer_is_followed_by_its_candidates(trickling, client_of, phone):
    client = await client_of(trickling)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", await phone.offer())

    sdp = (await client.until("answer"))["params"]["sdp"]
    await phone.accept(sdp)

    assert "a=candidate" not in sdp
    assert "a=end-of-candidates" not in sdp
    assert "m=audio 9 " in sdp
    assert "c=IN IP4 0.0.0.0" in sdp
    assert sdp.count("a=ice-options:trickle") == 1
    assert await candidates_of(client, phone) > 0
    await guarded(phone.connected.wait())


async def test_candidates_can_come_before_the_answer(trickling, client_of, phone):
    trickling.faults.candidates_first = True
    client = await client_of(trickling)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", await phone.offer())

    assert await candidates_of(client, phone) > 0
    answer = await client.next()

    assert short(answer) == "answer"
    await phone.accept(answer["params"]["sdp"])
    await guarded(phone.connected.wait())


async def test_a_call_to_the_client_trickles_too(trickling, client_of, phone):
    client = await client_of(trickling)
    await client.log_in()
    leg = await trickling.call("door")
    invite = (await client.until("invite"))["params"]
    assert "a=candidate" not in invite["sdp"]
    answer = await phone.answer(invite["sdp"])

    assert await candidates_of(client, phone) > 0
    await client.send_call("answer", leg.call_id, sdp=answer)

    await guarded(phone.connected.wait())


async def test_a_new_path_trickles_too(trickling, client_of, phone):
    client = await client_of(trickling)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", await phone.offer())
    await phone.accept((await client.until("answer"))["params"]["sdp"])
    await candidates_of(client, phone)

    request_id = await client.send_call("modify", "c1", action="updateMedia", sdp=await phone.offer())
    sdp = (await client.reply_to(request_id))["result"]["sdp"]
    await phone.accept(sdp)

    assert "a=candidate" not in sdp
    assert await candidates_of(client, phone) > 0


def test_the_bare_description_and_its_candidates_hold_everything():
    sdp = (
        "v=0\r\nm=audio 4711 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 192.0.2.1\r\na=mid:audio\r\na=ice-pwd:x\r\n"
        "a=candidate:1 1 udp 1 192.0.2.1 4711 typ host\r\na=end-of-candidates\r\n"
    )

    bare, candidates = without_candidates(sdp)

    assert not re.search("candidate|4711|192", bare)
    assert candidates == [
        {"candidate": "candidate:1 1 udp 1 192.0.2.1 4711 typ host", "sdpMid": "audio", "sdpMLineIndex": 0}
    ]
