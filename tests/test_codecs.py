"""Whole calls in each codec against the lab's stock far end: what was said is what was heard, both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.lab import voice
from agent.lab.far_end import FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from agent.lab.measure import aligned_correlation
from tests.device import PASSWORD, config_of, device

pytestmark = pytest.mark.interop

OPUS = {"mimeType": "audio/opus", "clockRate": 48000, "channels": 2}
G722 = {"mimeType": "audio/G722", "clockRate": 8000, "channels": 1}
PCMU = {"mimeType": "audio/PCMU", "clockRate": 8000, "channels": 1}
PCMA = {"mimeType": "audio/PCMA", "clockRate": 8000}
NOT_OURS = {"mimeType": "audio/red", "clockRate": 48000}
SAME_SPEECH = 0.85  # aligned correlation; another text stays below 0.4
SPOKEN = voice.babble(1.6, seed=31)
ANSWERED = voice.babble(1.6, seed=32)
PAYLOAD_TYPES = {"opus": 111, "pcmu": 0, "pcma": 8, "g722": 9}


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(users={"door": PASSWORD}) as running:
        yield running


def offered(gateway: LabGateway) -> list[str]:
    """The payload types of audio in our INVITE, in order; telephone-event (RFC 4733) stands behind them."""
    invite = gateway.frames.received("invite")[0]
    sdp = invite["params"]["sdp"]
    listed = next(line for line in sdp.splitlines() if line.startswith("m=audio")).split()[3:]
    events = [number for number in listed if f"a=rtpmap:{number} telephone-event/" in sdp]
    assert listed[-len(events) :] == events
    return listed[: -len(events)]


@pytest.mark.parametrize("direction", ["we call", "we are called"])
@pytest.mark.parametrize(
    ("codec", "wish"), [("opus", None), ("g722", [G722]), ("pcmu", [NOT_OURS, PCMU]), ("pcma", [PCMA])]
)
async def test_speech_arrives_both_ways(
    gateway: LabGateway, tmp_path: Path, codec: str, wish: list[dict[str, object]] | None, direction: str
) -> None:
    voice.write_wav(tmp_path / "says.wav", SPOKEN)
    far_end = FarEnd(FarEndStyle(greeting=ANSWERED, echo=False))
    gateway.register_far_end("+15550100", lambda: far_end)
    audio = {
        "profile": "virtual",
        "capture": f"wav:{tmp_path}/says.wav",
        "playback": f"wav:{tmp_path}/hears.wav",
    }
    defaults = {} if wish is None else {"preferred_codecs": wish}
    async with device(config_of(gateway.url, tmp_path, audio=audio, call_defaults=defaults), tmp_path) as door:
        await door.line_ready()
        if direction == "we call":
            await door.command("call", target="reception")
        else:
            await gateway.call("door", far_end)
            await door.event("incoming_call")
            await door.command("answer")
        async with asyncio.timeout(20):
            while far_end.heard.seconds < 4.5:  # the file in the microphone begins again at its end
                await asyncio.sleep(0.05)
        await door.command("hangup")
        call = await door.ended()
    heard = voice.read_wav(tmp_path / "hears.wav")
    assert aligned_correlation(ANSWERED, heard, voice.RATE_HZ)[1] > SAME_SPEECH
    there = far_end.heard.samples
    assert aligned_correlation(SPOKEN, there[len(SPOKEN) // 2 :], voice.RATE_HZ)[1] > SAME_SPEECH
    assert call["audio"]["auth_failures"] == 0
    if direction == "we call":
        assert far_end.packets.payload_types == {PAYLOAD_TYPES[codec]}
        allowed = [codec] if wish else ["opus", "pcmu", "pcma"]
        assert offered(gateway) == [str(PAYLOAD_TYPES[name]) for name in allowed]


async def test_a_gateway_without_opus_is_spoken_to_in_what_it_has(gateway: LabGateway, tmp_path: Path) -> None:
    class OldTelephone(FarEnd):
        async def answer(self, offer: str) -> str:
            return await super().answer(
                offer.replace(" 111 0 8", " 0 8").replace("a=rtpmap:111", "a=x").replace("a=fmtp:111", "a=x")
            )

    far_end = OldTelephone(FarEndStyle(greeting=ANSWERED, echo=False))
    gateway.register_far_end("+15550100", lambda: far_end)
    async with device(config_of(gateway.url, tmp_path), tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="reception")
        await door.until(lambda: any(f["packets_received"] > 50 and f["packets_sent"] > 50 for f in door.figures))
        await door.command("hangup")
        assert (await door.ended())["reason"] == "local_hangup"
    assert far_end.packets.payload_types == {0}


@pytest.mark.parametrize("said_by", ["us", "the far end"])
async def test_a_bandwidth_limit_holds_opus_below_it(gateway: LabGateway, tmp_path: Path, said_by: str) -> None:
    limit_kbps = 38

    class Limiting(FarEnd):
        async def answer(self, offer: str) -> str:
            answer = await super().answer(offer)
            return answer.replace("a=mid:", f"b=AS:{limit_kbps}\r\na=mid:") if said_by == "the far end" else answer

    voice.write_wav(tmp_path / "says.wav", SPOKEN)
    far_end = Limiting(FarEndStyle(greeting=ANSWERED, echo=False))
    gateway.register_far_end("+15550100", lambda: far_end)
    audio = {"profile": "virtual", "capture": f"wav:{tmp_path}/says.wav", "playback": "virtual:null"}
    audio["opus"] = {"bitrate_bps": 64000}
    defaults = {"sdpASBandwidthKbps": limit_kbps} if said_by == "us" else {}
    sizes: list[int] = []
    add = far_end.packets.add
    far_end.packets.add = lambda packet: (add(packet), sizes.append(len(packet.payload)))[0]  # type: ignore[method-assign]
    async with device(config_of(gateway.url, tmp_path, audio=audio, call_defaults=defaults), tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="reception")
        async with asyncio.timeout(20):
            while far_end.packets.packets < 150:
                await asyncio.sleep(0.05)
        await door.command("hangup")
        await door.ended()
    assert (f"b=AS:{limit_kbps}" in gateway.frames.received("invite")[0]["params"]["sdp"]) is (said_by == "us")
    on_the_wire_kbps = (sum(sizes) / len(sizes) + 56) * 8 * 50 / 1000
    assert 0.6 * limit_kbps < on_the_wire_kbps <= limit_kbps
