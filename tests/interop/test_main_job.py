"""The main job through real parts: PulseAudio devices, mosquitto, a gpiozero pin, and a stock far end.

Both directions are judged by content: what came out is the speech that went in. The figures are printed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from pesq import pesq

from agent.lab import voice
from agent.lab.broker import Broker
from agent.lab.far_end import FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from agent.lab.measure import aligned_correlation
from tests.device import PASSWORD, PATIENCE_S, config_of
from tests.interop.daemon import daemon
from tests.interop.sound import Ear, Mouth, Samples
from tests.pulse import PulseHost, missing

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

SPOKEN = "Good morning. I am standing at the front door with a parcel for you. Could you please open?"
GREETING = "Hello, this is the reception desk. Please push the door when you hear the buzzer. Thank you."
SAME_SPEECH = 0.85  # aligned correlation; another text stays below 0.4
PROCESSED_SPEECH = 0.75  # the same through the echo canceller, which takes a second to learn that there is no echo
SPEECH_MOS = 2.0  # PESQ wide band of another text is 1.0 to 1.2; what a quiet machine reaches is printed


@pytest.fixture
def pulse(tmp_path: Path) -> Iterator[PulseHost]:
    with PulseHost(tmp_path / "pulse") as running:
        yield running


def speech(text: str) -> Samples:
    return voice.speech(text) if voice.speech(text) is not None else voice.babble(6.0, seed=len(text))  # type: ignore[return-value]


def judge(name: str, said: Samples, heard: Samples, least: float = SAME_SPEECH) -> None:
    """Print and check how much of what was said was heard."""
    delay_s, correlation = aligned_correlation(said, heard, voice.RATE_HZ)
    start = max(round(delay_s * voice.RATE_HZ), 0)
    piece = heard[start : start + said.size]
    mos = pesq(16000, to_16k(said[: piece.size]), to_16k(piece), "wb")
    print(f"\n{name}: correlation {correlation:.3f}, PESQ {mos:.2f}, found at {delay_s:.3f} s")
    assert correlation > least
    assert mos > SPEECH_MOS


def to_16k(samples: Samples) -> Samples:
    return voice.resample(samples.astype(np.float64), voice.RATE_HZ, 16000).astype(np.int16)


class HomeAutomation:
    """A plain MQTT client: sends a command, keeps every message of the device."""

    def __init__(self, broker: Broker) -> None:
        self.messages: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("callpoint/#")
        self._client.on_message = lambda _client, _data, message: self._loop.call_soon_threadsafe(
            self.messages.put_nowait, (message.topic, message.payload)
        )
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def send(self, topic: str, payload: str) -> None:
        self._client.publish(f"callpoint/door/{topic}", payload)

    async def message(self, topic: str, text: str) -> dict[str, object] | str:
        """The next message on this topic that contains `text`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                came, payload = await self.messages.get()
                if came == f"callpoint/door/{topic}" and text in payload.decode():
                    return json.loads(payload) if payload.startswith(b"{") else payload.decode()  # type: ignore[no-any-return]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.mark.parametrize("started_by", ["mqtt", "gpio pin"])
async def test_speech_goes_both_ways_and_the_call_hangs_up(
    started_by: str, pulse: PulseHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoken, greeting = speech(SPOKEN), speech(GREETING)
    far_ends: list[FarEnd] = []

    def far_end() -> FarEnd:
        far_ends.append(FarEnd(FarEndStyle(greeting=greeting, echo=False)))
        return far_ends[-1]

    async with Broker() as broker, LabGateway(users={"door": PASSWORD}) as gateway:
        gateway.register_far_end("+15550100", far_end)
        config = config_of(
            gateway.url,
            tmp_path,
            audio={"profile": "generic", "capture": pulse.mic, "playback": pulse.speaker},
            mqtt={"host": "127.0.0.1", "port": broker.port},
        )
        home = HomeAutomation(broker)
        async with daemon(config, tmp_path, env=pulse.env) as door:
            assert await home.message("availability", "") == "online"
            with pulse.in_this_process():
                ear, mouth = Ear(pulse.spkmon), Mouth(pulse.micfeed)
            with ear, mouth:
                if started_by == "mqtt":
                    home.send("command/call", json.dumps({"target": "reception", "transaction": "t1"}))
                    response = await home.message("response/call", "t1")
                    assert isinstance(response, dict)
                    assert response["status"] == "ok"
                else:
                    await door.ask("press", button="bell")
                await door.call_state("active")
                await door.until(lambda event: event["type"] == "figures" and event["packets_received"] > 0)
                mouth.say(spoken)
                await asyncio.to_thread(mouth.finished.wait, PATIENCE_S)
                async with asyncio.timeout(PATIENCE_S):
                    await far_ends[0].greeted.wait()
                await asyncio.sleep(1.0)  # what is still on its way through both sound servers is to be heard as well
                home.send("command/hangup", "")
                call = await door.ended()
            state = await home.message("state", '"local_hangup"')
            assert isinstance(state, dict)
            assert state["state"] == "idle"
        assert await home.message("availability", "offline") == "offline"
        home.close()
    with capsys.disabled():
        judge(f"device hears the far end ({started_by})", greeting, ear.heard)
        judge(f"far end hears the device ({started_by})", spoken, far_ends[0].heard.samples, PROCESSED_SPEECH)
    assert call["audio"]["packets_lost"] == 0
    assert not far_ends[0].packets.would_flush


async def test_two_devices_on_one_machine_call_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {"door": speech(SPOKEN), "gate": speech(GREETING)}
    async with LabGateway(users={"door": PASSWORD, "gate": PASSWORD}) as gateway:
        configs = {}
        for name, samples in said.items():
            voice.write_wav(tmp_path / f"{name}-says.wav", np.pad(samples, (2 * voice.RATE_HZ, voice.RATE_HZ)))
            configs[name] = config_of(
                gateway.url,
                tmp_path,
                login=name,
                audio={
                    "profile": "virtual",
                    "capture": f"wav:{tmp_path}/{name}-says.wav",
                    "playback": f"wav:{tmp_path}/{name}-hears.wav",
                    "cues": False,  # one behind the call would begin the file anew
                },
            )
        async with daemon(configs["door"], tmp_path) as door, daemon(configs["gate"], tmp_path) as gate:
            await door.ask("call", destinationNumber="gate")
            await gate.until(lambda event: event["type"] == "incoming_call")
            await gate.ask("answer")
            await door.call_state("active")
            long_enough = 50 * (max(samples.size for samples in said.values()) / voice.RATE_HZ + 4)
            for device in (door, gate):
                await device.until(lambda event: event["type"] == "figures" and event["packets_received"] > long_enough)
            await door.ask("hangup")
            assert (await door.ended())["reason"] == "local_hangup"
            assert (await gate.ended())["reason"] == "remote_hangup"
    with capsys.disabled():
        judge("the gate hears the door", said["door"], voice.read_wav(tmp_path / "gate-hears.wav"))
        judge("the door hears the gate", said["gate"], voice.read_wav(tmp_path / "door-hears.wav"))
