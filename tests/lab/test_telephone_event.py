"""DTMF as RTP events: the SDP, the packets, and real digits through stock aiortc."""

import asyncio

import pytest
from aiortc.rtp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from agent.lab import voice
from agent.lab.far_end import FREESWITCH, FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from agent.lab.measure import aligned_correlation
from agent.lab.telephone_event import (
    EventFormat,
    EventReader,
    EventWriter,
    agreed_format,
    formats_of,
    with_formats,
)
from agent.lab.voice import RATE_HZ
from tests.lab.raw_client import USERS, guarded, heard_enough

OPUS = (
    "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0 110 126\r\na=rtpmap:111 opus/48000/2\r\n"
    "a=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n"
)
SAID, AFTERWARDS = voice.babble(2.5, seed=51), voice.babble(1.2, seed=52)


def audio_packet(number):
    packet = RtpPacket(payload_type=111, marker=1, sequence_number=number, timestamp=960 * number, ssrc=7)
    packet.payload = b"opus"
    return packet.serialize()


async def written(digits, extra=2):
    """The packets that leave while these digits are sent, and a few after."""
    writer = EventWriter(EventFormat(110, 48_000))
    sending = asyncio.ensure_future(writer.send(digits))
    await asyncio.sleep(0)
    packets, number = [], 0
    while not sending.done() or extra:
        extra -= sending.done()
        packets.append(RtpPacket.parse(writer.rewrite(audio_packet(number))))
        number += 1
        await asyncio.sleep(0)
    return packets


def test_the_format_of_the_audios_clock_is_taken():
    assert formats_of(OPUS) == [EventFormat(110, 48_000), EventFormat(126, 8_000)]
    assert agreed_format(OPUS, OPUS) == EventFormat(110, 48_000)
    assert agreed_format(OPUS, OPUS.replace("SAVPF 111 0", "SAVPF 0 111")) == EventFormat(126, 8_000)
    assert agreed_format("m=audio 9 X 0\r\n", OPUS) is None


def test_formats_are_added_to_the_audio_alone():
    sdp = "v=0\r\nm=audio 9 X 0\r\na=mid:0\r\nm=video 9 X 96\r\n"

    added = with_formats(sdp, [EventFormat(101, 8000)])

    assert added.splitlines() == [
        "v=0",
        "m=audio 9 X 0 101",
        "a=mid:0",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "m=video 9 X 96",
    ]


async def test_a_digit_is_a_marker_growing_durations_and_three_ends():
    packets = [packet for packet in await written("5") if packet.payload_type == 110]

    assert [packet.marker for packet in packets] == [1] + [0] * (len(packets) - 1)
    assert len({packet.timestamp for packet in packets}) == 1
    assert [packet.payload[0] for packet in packets] == [5] * len(packets)
    durations = [int.from_bytes(packet.payload[2:4], "big") for packet in packets]
    assert durations == [960, 1920, 2880, 3840, 4800, 4800, 4800, 4800]
    assert [bool(packet.payload[1] & 0x80) for packet in packets] == [False] * 5 + [True] * 3
    assert [packet.sequence_number for packet in packets] == list(range(8))


async def test_what_is_written_is_read_even_with_losses_and_repetitions():
    packets = [packet for packet in await written("1*#A11") if packet.payload_type == 110]
    reader = EventReader()
    digits = "".join(reader.add(packet) or "" for packet in packets if packet.sequence_number % 3)
    digits += "".join(reader.add(packet) or "" for packet in packets)

    assert digits == "1*#A11"
    assert all(event.ended and event.duration == 4800 for event in reader.events)


async def test_what_is_no_digit_is_refused():
    with pytest.raises(ValueError, match="not a DTMF digit: x"):
        await EventWriter(EventFormat(110, 48_000)).send("1x")


@given(st.binary(max_size=8))
def test_malformed_events_are_left_out(payload):
    packet = RtpPacket(payload_type=110)
    packet.payload = payload
    reader = EventReader()
    assert (reader.add(packet) is None) == (len(payload) < 4 or payload[0] > 15)


async def connected_pair(answering, offering):
    await offering.accept(await answering.answer(await offering.offer()))
    await guarded(answering.connected.wait())
    await guarded(offering.connected.wait())


async def test_digits_go_both_ways_and_the_speech_around_them_survives():
    one, two = FarEnd(FarEndStyle(greeting=SAID, echo=False)), FarEnd(FarEndStyle(echo=False))
    await connected_pair(one, two)
    await heard_enough(two, 1.5)

    await guarded(asyncio.gather(one.send_digits("12#"), two.send_digits("9")))
    one.greeting, one._said = AFTERWARDS, 0
    await heard_enough(two, two.heard.seconds + 2)

    assert (two.digits, one.digits) == ("12#", "9")
    assert aligned_correlation(SAID[:RATE_HZ], two.heard.samples, RATE_HZ)[1] > 0.8
    assert aligned_correlation(AFTERWARDS, two.heard.samples, RATE_HZ)[1] > 0.8
    assert two.packets.lost == 0
    await one.close()
    await two.close()


async def test_freeswitch_answers_events_and_does_not_offer_them():
    server = FarEnd(FREESWITCH)
    assert formats_of(await server.offer()) == []
    client = FarEnd(FarEndStyle())
    assert formats_of(await server.answer(await client.offer())) == [EventFormat(110, 48_000)]
    await server.close()
    await client.close()


async def test_without_agreement_sending_says_so():
    one, two = FarEnd(FarEndStyle(offers_telephone_event=False)), FarEnd(FarEndStyle())
    await connected_pair(two, one)

    with pytest.raises(ValueError, match="telephone-event was not agreed"):
        await one.send_digits("1")

    await one.close()
    await two.close()


@pytest.mark.parametrize("desk_takes_events", [True, False])
async def test_a_bridge_passes_digits_on_as_events_or_as_info(client_of, desk_takes_events):
    async with LabGateway(users=USERS, anchored=True) as gateway:
        door, desk = FarEnd(FarEndStyle()), FarEnd(FarEndStyle(answers_telephone_event=desk_takes_events))
        door_line, desk_line = await client_of(gateway), await client_of(gateway)
        await door_line.log_in("door")
        await desk_line.log_in("desk")
        await door_line.dial("desk", "c1", await door.offer())
        invite = (await desk_line.until("invite"))["params"]
        await desk_line.send_call("answer", invite["callID"], sdp=await desk.answer(invite["sdp"]))
        await door.accept((await door_line.until("answer"))["params"]["sdp"])
        await guarded(door.connected.wait())
        await guarded(desk.connected.wait())
        await guarded(gateway.legs[1].port.connected.wait())

        await guarded(door.send_digits("7"))

        assert gateway.legs[0].port.digits == "7"
        if desk_takes_events:
            await guarded(until_digits(desk, "7"))
        else:
            assert (await desk_line.until("info"))["params"] == {"callID": invite["callID"], "dtmf": "7"}
        await door.close()
        await desk.close()


async def until_digits(far_end, digits):
    while far_end.digits != digits:
        await asyncio.sleep(0.02)
