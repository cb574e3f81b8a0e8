"""A real ALSA mixer, whose card a private PulseAudio plays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware.mixer import AlsaMixer, MixerError, Step, level_control
from tests import pulse
from tests.pulse import PulseHost

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(pulse.missing() is not None, reason=str(pulse.missing())),
]


@pytest.fixture
def card(tmp_path: Path) -> Iterator[str]:
    with PulseHost(tmp_path / "pulse") as host:
        with host.alsa_conf.open("a") as conf:
            server = host.alsa_conf.with_name("native")
            conf.write(f'ctl.card {{ type pulse server "unix:{server}" sink spk source micfeed.monitor }}\n')
        with host.in_this_process():
            yield "card"


def test_volume_gain_and_switch_are_set_and_read_back(card: str) -> None:
    mixer = AlsaMixer(card)
    speaker, microphone = level_control(mixer.controls(), "playback"), level_control(mixer.controls(), "capture")
    assert speaker is not None
    assert microphone is not None
    assert (speaker.name, speaker.capture, speaker.switch) == ("Master", None, True)
    assert (microphone.name, microphone.playback) == ("Capture", None)
    mixer.set(Step("Master", wish=False))
    mixer.set(Step("Capture", 40, "capture"))
    by_name = {control.name: control for control in AlsaMixer(card).controls()}
    assert by_name["Master"].switch is False
    assert by_name["Capture"].capture == 40
    mixer.set(Step("Master", 30))
    by_name = {control.name: control for control in AlsaMixer(card).controls()}
    assert (by_name["Master"].playback, by_name["Master"].switch) == (30, True)  # who sets a volume wants to hear it
    mixer.set(Step("Master", 0))
    assert {control.name: control for control in mixer.controls()}["Master"].switch is False


def test_a_card_without_a_mixer_and_a_control_that_is_not_there_are_told(card: str) -> None:
    with pytest.raises(MixerError, match="the mixer of hw:CARD=nowhere does not open"):
        AlsaMixer("hw:CARD=nowhere")
    with pytest.raises(MixerError, match="the control Bass of card cannot be set"):
        AlsaMixer(card).set(Step("Bass", 10))
