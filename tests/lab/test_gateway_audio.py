"""Real audio through the lab: stock aiortc clients, far ends, and two clients with each other."""

import asyncio
import json

import numpy as np
import pytest

from agent.lab import voice
from agent.lab.far_end import FREESWITCH, FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from agent.lab.measure import aligned_correlation
from agent.lab.routes import ECHO_NUMBER
from agent.lab.stock_peer import RsaCertificate, datagrams_of, new_peer
from agent.lab.voice import RATE_HZ
from tests.lab.raw_client import offer_of, open_descriptors, without_candidates

ALIKE = 0.8  # what two recordings of one sound reach through Opus; different ones stay below 0.4
FAST_RSA_BITS = 2048  # 4096 bit take seconds to make; the suites are the same
SAID = voice.babble(1.5, seed=21)


def says(samples=SAID, **style):
    """A caller: a far end used from the other side."""
    return FarEnd(FarEndStyle(greeting=samples, **style))


async def heard_enough(far_end, seconds):
    async with asyncio.timeout(15):
        while far_end.heard.seconds < seconds:
            await asyncio.sleep(0.05)


def likeness(reference, far_end):
    return aligned_correlation(reference, far_end.heard.samples, RATE_HZ)[1]


@pytest.fixture
async def caller():
    made = says(echo=False)
    yield made
    await made.close()


async def test_the_echo_number_greets_and_echoes_what_it_hears(gateway, client_of, caller):
    greeting = voice.babble(1.0, seed=5)
    gateway.register_far_end(ECHO_NUMBER, lambda: FarEnd(FarEndStyle(greeting=greeting, echo_delay_s=0.5)))
    said = np.concatenate([np.zeros(RATE_HZ * 3 // 2, dtype=np.int16), SAID])
    caller.greeting = said
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", await caller.offer())
    await caller.accept((await client.until("answer"))["params"]["sdp"])

    await heard_enough(caller, 4.2)

    far_end = gateway.legs[0].far_end
    assert likeness(greeting, caller) > ALIKE
    assert likeness(SAID, far_end) > ALIKE
    echo_at_s, echo = aligned_correlation(SAID, caller.heard.samples[RATE_HZ:], RATE_HZ)
    assert echo > ALIKE
    assert 0.4 < echo_at_s - 0.5 < 1.2  # 0.5 s of echo delay and the way there and back
    assert far_end.packets.lost == 0
    assert far_end.packets.payload_types == {96}
    await client.reply_to(await client.send_call("bye", "c1", cause="NORMAL_CLEARING", causeCode=16))
    assert not far_end.connected.is_set()


async def test_candidates_can_trickle_in_before_and_after_the_answer(gateway, client_of, caller):
    client = await client_of(gateway)
    await client.log_in()
    offer = await caller.offer()
    await client.dial(ECHO_NUMBER, "c1", without_candidates(offer), trickle=True)
    for line in offer.splitlines():
        if line.startswith("a=candidate:"):
            path = {"candidate": line.removeprefix("a="), "sdpMid": "0", "sdpMLineIndex": 0}
            await client.send_call("candidate", "c1", **path)
    await client.send_call("endOfCandidates", "c1", endOfCandidates=True)
    answer = (await client.until("answer"))["params"]["sdp"]
    await caller.accept(without_candidates(answer).replace("a=end-of-candidates\r\n", ""))

    await heard_enough(gateway.legs[0].far_end, 1.7)

    assert likeness(SAID, gateway.legs[0].far_end) > ALIKE


async def test_silent_answers_and_sends_no_packet(gateway, client_of, caller):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial("silent", "c1", await caller.offer())
    await caller.accept((await client.until("answer"))["params"]["sdp"])

    await heard_enough(gateway.legs[0].far_end, 1.0)

    assert caller.connected.is_set()
    assert caller.packets.packets == 0


async def test_two_clients_hear_each_other_and_the_gateway_neither(gateway, client_of, caller):
    callee = says(voice.babble(1.5, seed=22), echo=False)
    door, desk = await client_of(gateway), await client_of(gateway)
    await door.log_in("door")
    await desk.log_in("desk")
    await door.dial("desk", "c1", await caller.offer())
    invite = (await desk.until("invite"))["params"]
    await desk.send_call("answer", invite["callID"], sdp=await callee.answer(invite["sdp"]))
    await caller.accept((await door.until("answer"))["params"]["sdp"])

    await asyncio.gather(heard_enough(caller, 1.7), heard_enough(callee, 1.7))

    assert likeness(callee.greeting, caller) > ALIKE
    assert likeness(caller.greeting, callee) > ALIKE
    assert likeness(caller.greeting, caller) < 0.4
    assert all(leg.far_end is None for leg in gateway.legs)
    await callee.close()


async def test_a_call_of_the_gateways_is_heard_both_ways(gateway, client_of):
    far_end, callee = says(voice.babble(1.5, seed=23)), says(echo=False)
    client = await client_of(gateway)
    await client.log_in()
    leg = await gateway.call("door", far_end)
    invite = (await client.until("invite"))["params"]
    await client.send_call("answer", leg.call_id, sdp=await callee.answer(invite["sdp"]))
    async with asyncio.timeout(5):
        await leg.answered.wait()

    await asyncio.gather(heard_enough(callee, 1.7), heard_enough(far_end, 1.7))

    assert likeness(far_end.greeting, callee) > ALIKE
    assert likeness(callee.greeting, far_end) > ALIKE
    await callee.close()


async def test_after_a_reconnect_attach_brings_the_audio_back(gateway, client_of, caller):
    gateway.faults.attach_calls = True
    first = await client_of(gateway)
    await first.log_in()
    await first.dial(ECHO_NUMBER, "c1", await caller.offer())
    await caller.accept((await first.until("answer"))["params"]["sdp"])
    far_end = gateway.legs[0].far_end
    await heard_enough(far_end, 0.2)
    gateway.abort()

    second = await client_of(gateway)
    request_id = await second.send(
        "login", {"login": "door", "passwd": "door-password", "sessid": first.sessid, "reconnection": True}
    )
    await second.reply_to(request_id)
    attach = (await second.until("attach"))["params"]
    assert attach["callID"] == "c1"
    again = says(echo=False)
    answer = await again.answer(attach["sdp"])
    reply = await second.reply_to(await second.send_call("attach", "c1", sdp=answer))
    before_s = far_end.heard.seconds

    await heard_enough(far_end, before_s + 1.7)

    assert reply["result"]["message"] == "CALL ATTACHED"
    assert likeness(SAID, far_end) > ALIKE
    await again.close()


async def test_update_media_moves_the_call_to_a_new_path(gateway, client_of, caller):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", await caller.offer())
    await caller.accept((await client.until("answer"))["params"]["sdp"])
    far_end = gateway.legs[0].far_end
    await heard_enough(far_end, 0.2)

    moved = says(echo=False)
    request_id = await client.send_call("modify", "c1", action="updateMedia", sdp=await moved.offer())
    await moved.accept((await client.reply_to(request_id))["result"]["sdp"])
    await heard_enough(far_end, far_end.heard.seconds + 1.7)

    assert likeness(SAID, far_end) > ALIKE
    await moved.close()


class TestFreeSwitch:
    STYLE = FarEndStyle(greeting=SAID, freeswitch_sdp=True, rsa_bits=FAST_RSA_BITS, flushes_on_marker=True)

    @pytest.mark.parametrize("media_server_offers", [True, False])
    async def test_its_certificate_of_4096_bits_gets_through_in_both_dtls_roles(self, media_server_offers):
        media_server, client = FarEnd(FREESWITCH), says(rsa_bits=FAST_RSA_BITS)
        if media_server_offers:
            await media_server.accept(await client.answer(with_mid(await media_server.offer())))
        else:
            await client.accept(with_mid(await media_server.answer(await client.offer())))
        async with asyncio.timeout(10):
            await media_server.connected.wait()
            await client.connected.wait()
        assert RsaCertificate.of_bits(FREESWITCH.rsa_bits)._key.key_size == 4096
        await client.close()
        await media_server.close()

    async def test_a_client_without_rsa_suites_fails_when_it_is_the_dtls_client(self, caller):
        media_server = FarEnd(self.STYLE)
        answer = await caller.answer(with_mid(await media_server.offer()))
        await media_server.accept(answer)

        async with asyncio.timeout(10):
            while caller.state not in ("failed", "closed", "connected"):
                await asyncio.sleep(0.05)

        assert caller.state != "connected"
        await media_server.close()

    async def test_a_client_with_rsa_suites_is_heard_in_both_dtls_roles(self):
        for media_server_offers in (True, False):
            media_server, client = FarEnd(self.STYLE), says(voice.babble(1.0, seed=3), rsa_bits=FAST_RSA_BITS)
            if media_server_offers:
                await media_server.accept(await client.answer(with_mid(await media_server.offer())))
            else:
                await client.accept(with_mid(await media_server.answer(await client.offer())))
            await heard_enough(client, 1.7)
            assert likeness(SAID, client) > ALIKE
            await client.close()
            await media_server.close()

    async def test_a_marker_on_every_packet_silences_the_bridge_and_is_counted(self):
        media_server, client = FarEnd(self.STYLE), says()
        await client.accept(with_mid(await media_server.answer(await client.offer())))
        await heard_enough(client, 1.0)

        assert media_server.packets.markers == media_server.packets.packets > 20
        assert media_server.packets.would_flush
        assert media_server.heard.seconds < 0.2
        await client.close()
        await media_server.close()


def with_mid(sdp):
    """What a client has to do to a FreeSWITCH SDP before stock aiortc takes it."""
    lines = []
    for line in sdp.splitlines():
        lines += [line, "a=mid:0"] if line.startswith("m=") else [line]
    return "\r\n".join(lines) + "\r\n"


async def test_stopping_leaves_no_task_thread_or_descriptor(client_of, caller):
    tasks, descriptors = asyncio.all_tasks(), open_descriptors()
    gateway = LabGateway(users={"door": "door-password"})
    await gateway.start()
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", await caller.offer())
    await caller.accept((await client.until("answer"))["params"]["sdp"])
    await client.dial("noanswer", "c2")
    await heard_enough(gateway.legs[0].far_end, 0.2)

    await gateway.stop()
    await caller.close()
    await client.socket.close()
    await asyncio.sleep(0.1)  # aiortc ends its last tasks one turn after close()

    assert {task.get_name() for task in asyncio.all_tasks() - tasks} == set()
    assert open_descriptors() <= descriptors


async def test_frames_are_kept_for_whoever_judges(gateway, client_of):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial("busy", "c1")
    await client.until("bye")

    assert [frame["params"]["dialogParams"]["callID"] for frame in gateway.frames.received("invite")] == ["c1"]
    assert gateway.frames.sent("bye")[0]["params"]["cause"] == "USER_BUSY"
    assert "door-password" not in "".join(map(repr, gateway.frames))
    assert json.dumps(gateway.frames.received("login")[0])


def test_dtls_records_are_packed_but_never_cut():
    records = [
        bytes([22, 254, 253, *bytes(8), *size.to_bytes(2, "big")]) + bytes(size) for size in (500, 700, 13, 1300)
    ]

    datagrams = datagrams_of(b"".join(records))

    assert datagrams == [records[0], records[1] + records[2], records[3]]
    assert datagrams_of(b"") == []


async def test_a_far_end_asks_no_server_on_the_internet(monkeypatch):
    """Stock aiortc does, and on a network that swallows that every call would begin 5 s late."""
    asked = []

    async def ask(_, server):
        asked.append(server)
        raise OSError

    monkeypatch.setattr("aioice.ice.server_reflexive_candidate", ask)
    peer = new_peer()
    peer.addTransceiver("audio")
    offer = await offer_of(peer)
    await peer.close()
    assert "a=candidate:" in offer
    assert asked == []
