"""The board's contract on pins of the kernel, through gpiozero's lgpio factory. tests/contract has the tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

import pytest

from tests.contract.devices import *  # noqa: F403 - the very same tests
from tests.contract.driven import *  # noqa: F403
from tests.contract.presses import *  # noqa: F403
from tests.contract.rig import Rig, Wave
from tests.contract.switches import *  # noqa: F403
from tests.vm.guest.simulated_header import SimulatedHeader


class KernelRig(Rig):
    kind: Literal["gpio"] = "gpio"
    presses, spikes, is_punctual = 60, 1000, True

    def __init__(self, header: SimulatedHeader) -> None:
        super().__init__()
        self._header = header

    def drive(self, gpio: int, *, high: bool) -> None:
        self._header.drive(gpio, high=high)

    def level(self, gpio: int) -> bool:
        return self._header.value(gpio)

    def play(self, gpio: int, wave: Wave) -> None:
        for stay_s, high in wave:
            self.drive(gpio, high=high)
            time.sleep(stay_s)


@pytest.fixture
def rig(header: SimulatedHeader) -> Iterator[Rig]:
    made = KernelRig(header)
    yield made
    made.close()
