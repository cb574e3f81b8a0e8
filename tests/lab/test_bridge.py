"""Anchored calls: each client's media ends at the gateway, which passes the sound on."""

import asyncio

import pytest

from agent.lab import voice
from agent.lab.bridge import BRIDGE_DELAY_S, BridgePort, hold_music
from agent.lab.delay_line import FRAME, DelayLine
from agent.lab.far_end import FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from agent.lab.measure import aligned_correlation
from agent.lab.voice import RATE_HZ
from agent.lab.wire import VERTO
from tests.lab.raw_client import USERS, guarded, heard_enough, with_mid

ALIKE, UNLIKE = 0.8, 0.4
DOOR_SAYS, DESK_SAYS = voice.babble(2.0, seed=41), voice.babble(2.0, seed=42)
MODEST_DELAY_S = 0.6  # aiortc's two jitter buffers of 80 ms, two codecs, and the slow machine that runs this
FAST_RSA_BITS = 2048


class Pair:
    """Two clients in one call, with their sockets and their media."""

    def __init__(self, gateway, client_of, **style):
        self.gateway, self._client_of = gateway, client_of
        self.door = FarEnd(FarEndStyle(greeting=DOOR_SAYS, echo=False, **style))
        self.desk = FarEnd(FarEndStyle(greeting=DESK_SAYS, echo=False, **style))

    async def connect(self):
        self.door_line, self.desk_line = await self._client_of(self.gateway), await self._client_of(self.gateway)
        await self.door_line.log_in("door")
        await self.desk_line.log_in("desk")
        await self.door_line.dial("desk", "c1", await self.door.offer())
        invite = (await self.desk_line.until("invite"))["params"]
        self.desk_id = invite["callID"]
        await self.desk_line.send_call("answer", self.desk_id, sdp=await self.desk.answer(with_mid(invite["sdp"])))
        await self.door.accept((await self.door_line.until(self.answers_with))["params"]["sdp"])
        await guarded(self.door.connected.wait())
        await guarded(self.desk.connected.wait())
        self.door_leg, self.desk_leg = self.gateway.legs

    @property
    def answers_with(self):
        return "media" if self.gateway.dialect is VERTO else "answer"

    async def close(self):
        await self.door.close()
        await self.desk.close()


@pytest.fixture
async def pair(client_of):
    async with LabGateway(users=USERS, anchored=True) as gateway:
        made = Pair(gateway, client_of)
        await made.connect()
        yield made
        await made.close()


def likeness(said, far_end, since=0):
    return aligned_correlation(said, far_end.heard.samples[since:], RATE_HZ)[1]


def say_again(far_end):
    """Say the greeting once more, from now on."""
    far_end._said = 0


async def test_each_client_hears_the_other_and_gets_the_gateways_own_description(pair):
    await heard_enough(pair.door, 2.5)
    await heard_enough(pair.desk, 2.5)

    assert likeness(DESK_SAYS, pair.door) > ALIKE
    assert likeness(DOOR_SAYS, pair.desk) > ALIKE
    assert likeness(DOOR_SAYS, pair.door) < UNLIKE
    offers = [frame["params"]["sdp"] for frame in pair.gateway.frames.sent("invite")]
    assert offers[0] != pair.door_leg.offer
    assert pair.door_leg.port.heard.seconds > 1


async def test_the_delay_is_modest_and_does_not_grow(pair):
    async def delay_s():
        await asyncio.sleep(0.3)
        at_door, at_desk = pair.door_leg.port.heard, pair.desk.heard
        since, there = at_door.samples.size, at_desk.samples.size
        say_again(pair.door)
        await heard_enough(pair.desk, at_desk.seconds + 3)
        said, _ = aligned_correlation(DOOR_SAYS, at_door.samples[since:], RATE_HZ)
        heard, match = aligned_correlation(DOOR_SAYS, at_desk.samples[there:], RATE_HZ)
        assert match > ALIKE
        return heard - said

    first, second = await delay_s(), await delay_s()

    assert first < MODEST_DELAY_S
    assert abs(second - first) < 3 * BRIDGE_DELAY_S
    assert pair.desk_leg.port.waiting_s < 2 * BRIDGE_DELAY_S + 2 * FRAME / RATE_HZ


@pytest.mark.parametrize("who", ["door", "desk"])
async def test_either_client_moves_to_a_new_path_and_both_go_on_hearing(pair, who):
    line, call_id, old, other = {
        "door": (pair.door_line, "c1", pair.door, pair.desk),
        "desk": (pair.desk_line, pair.desk_id, pair.desk, pair.door),
    }[who]
    await heard_enough(other, 0.5)
    moved = FarEnd(FarEndStyle(greeting=voice.babble(2.0, seed=43), echo=False))
    request_id = await line.send_call("modify", call_id, action="updateMedia", callID=call_id, sdp=await moved.offer())
    result = (await line.reply_to(request_id))["result"]
    await moved.accept(result["sdp"])
    await guarded(moved.connected.wait())
    since = other.heard.samples.size
    say_again(other)
    await heard_enough(moved, 3)
    await heard_enough(other, other.heard.seconds + 1)

    assert set(result) == {"callID", "action", "holdState", "sdp", "sessid"}
    given = [frame.message for frame in pair.gateway.frames if not frame.from_client and "sdp" in str(frame.message)]
    assert fingerprint(result["sdp"]) not in [fingerprint(each["params"]["sdp"]) for each in given if "params" in each]
    assert likeness(other.greeting, moved) > ALIKE
    assert likeness(moved.greeting, other, max(since - RATE_HZ, 0)) > ALIKE
    await guarded(until_state(old, "closed"))
    await moved.close()


async def until_state(far_end, state):
    while far_end.state != state:
        await asyncio.sleep(0.05)


def fingerprint(sdp):
    return next(line for line in sdp.splitlines() if line.startswith("a=fingerprint"))


async def test_the_holder_goes_on_hearing_and_the_other_side_hears_music(pair):
    await heard_enough(pair.desk, 0.3)
    await pair.door_line.reply_to(await pair.door_line.send_call("modify", "c1", action="hold"))
    await asyncio.sleep(0.5)  # what was under way before the hold
    since_door, since_desk = pair.door.heard.samples.size, pair.desk.heard.samples.size
    say_again(pair.door)
    say_again(pair.desk)
    await heard_enough(pair.desk, pair.desk.heard.seconds + 2.8)

    assert likeness(DOOR_SAYS, pair.desk, since_desk) < UNLIKE
    assert likeness(hold_music()[: 3 * RATE_HZ // 2], pair.desk, since_desk) > 0.5
    assert likeness(DESK_SAYS, pair.door, since_door) > ALIKE

    await pair.door_line.reply_to(await pair.door_line.send_call("modify", "c1", action="unhold"))
    await asyncio.sleep(0.3)
    since_desk = pair.desk.heard.samples.size
    say_again(pair.door)
    await heard_enough(pair.desk, pair.desk.heard.seconds + 3)
    assert likeness(DOOR_SAYS, pair.desk, since_desk) > ALIKE


async def test_a_lost_socket_leaves_the_media_and_an_attach_moves_it_to_a_new_process(pair, client_of):
    pair.gateway.faults.attach_calls = True
    pair.gateway.abort("door")
    heard_before = pair.desk.heard.seconds
    await heard_enough(pair.desk, heard_before + 1)  # nothing but the signalling was lost

    await pair.door.close()  # and now its process is killed, too
    reborn = FarEnd(FarEndStyle(greeting=voice.babble(2.0, seed=44), echo=False))
    line = await client_of(pair.gateway)
    await line.send("login", {"login": "door", "passwd": USERS["door"], "sessid": pair.door_line.sessid})
    assert (await line.until("clientReady"))["params"]["reattached_sessions"] == ["c1"]
    attach = (await line.until("attach"))["params"]
    await line.send_call("attach", "c1", sdp=await reborn.answer(attach["sdp"]))
    await guarded(reborn.connected.wait())
    since = pair.desk.heard.samples.size
    say_again(pair.desk)
    await heard_enough(reborn, 3)

    assert likeness(DESK_SAYS, reborn) > ALIKE
    assert likeness(reborn.greeting, pair.desk, max(since - RATE_HZ, 0)) > ALIKE
    await reborn.close()


async def test_hanging_up_ends_both_legs_and_their_media(pair):
    await pair.door_line.send_call("bye", "c1", cause="NORMAL_CLEARING", causeCode=16)

    assert (await pair.desk_line.until("bye"))["params"]["callID"] == pair.desk_id
    assert pair.door_leg.port.state == pair.desk_leg.port.state == "closed"


class TestVerto:
    async def test_a_freeswitch_bridge_is_silent_for_a_client_with_the_marker_on_every_packet(self, client_of):
        async with LabGateway(VERTO, users=USERS, anchored=True) as gateway:
            pair = Pair(gateway, client_of, rsa_bits=FAST_RSA_BITS)
            await pair.connect()
            await heard_enough(pair.desk, 1.5)

            sdp = gateway.frames.sent("invite")[0]["params"]["sdp"]
            assert "a=mid" not in sdp
            assert " RTP/SAVPF " in sdp
            assert pair.door_leg.port.packets.would_flush
            assert likeness(DOOR_SAYS, pair.desk) < UNLIKE
            await pair.close()

    async def test_media_stops_with_the_socket(self, client_of):
        async with LabGateway(VERTO, users=USERS, anchored=True) as gateway:
            pair = Pair(gateway, client_of, rsa_bits=FAST_RSA_BITS)
            await pair.connect()
            gateway.abort("door")

            await guarded(until_state(pair.door_leg.port, "closed"))

            assert pair.desk_leg.port.state == "connected"
            assert not pair.door_leg.ended.is_set()
            await pair.close()


async def test_a_port_that_nobody_joined_sends_silence_and_keeps_what_it_hears():
    port = BridgePort()
    port.hear(voice.babble(0.1))
    assert not port.speak(FRAME).any()


def test_a_delay_line_forgets_what_piles_up():
    line = DelayLine(0.06)
    for _ in range(100):
        line.push(voice.babble(0.02))
    assert line.waiting_s < 2 * 0.06 + 0.03
