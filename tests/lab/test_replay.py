"""Recorded scenarios of the real JS SDK, replayed: the gateway's frames come in the recorded order and keys."""

import json
from pathlib import Path

import pytest

from agent.lab.gateway import LabGateway
from tests.lab.replay import Replay

RECORDINGS = sorted((Path(__file__).parent / "golden").glob("*.json"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
async def test_the_gateway_answers_the_recorded_client_in_the_recorded_order(path, real_offer):
    recording = json.loads(path.read_text())
    async with LabGateway(anchored=recording["anchored"]) as gateway:
        await Replay(gateway, recording, real_offer).run()


def test_all_recordings_are_there():
    assert {"main", "inbound", "attach", "rawice", "punt", "races", "misc"} <= {path.stem for path in RECORDINGS}
