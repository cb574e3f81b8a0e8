"""One contract for both kinds of sound devices: ALSA (on a private PulseAudio) and virtual. tests/contract has it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import pulse
from tests.contract.pcm import *  # noqa: F403 - the very same tests as in tests/vm/guest

NEEDS_PULSE = pytest.mark.skipif(pulse.missing() is not None, reason=str(pulse.missing()))


@pytest.fixture(scope="module")
def sound_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pulse.PulseHost]:
    with pulse.PulseHost(tmp_path_factory.mktemp("pulse")) as host, host.in_this_process():
        yield host


@pytest.fixture(params=[pytest.param("alsa", marks=[NEEDS_PULSE, pytest.mark.interop]), "virtual"])
def names(request: pytest.FixtureRequest) -> tuple[str, str]:
    if request.param == "alsa":
        request.getfixturevalue("sound_server")
        return "mic", "speaker"
    return "virtual:silence", "virtual:null"
