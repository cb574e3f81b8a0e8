"""The contract of sound devices on the kernel's loopback card. tests/contract has the tests."""

from __future__ import annotations

import pytest

from tests.contract.pcm import *  # noqa: F403 - the very same tests
from tests.vm.guest.loopback import microphone, speaker


@pytest.fixture
def names() -> tuple[str, str]:
    return microphone(2), speaker(3)  # two cables, so that neither side sets what the other can do
