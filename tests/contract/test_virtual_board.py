"""The board's contract on the virtual board. tests/vm/guest/test_kernel_board.py is the same on the kernel's pins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.devices import *  # noqa: F403 - the very same tests
from tests.contract.driven import *  # noqa: F403
from tests.contract.presses import *  # noqa: F403
from tests.contract.rig import Rig
from tests.contract.switches import *  # noqa: F403
from tests.contract.virtual_rig import VirtualRig


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made = VirtualRig(monkeypatch)
    yield made
    made.close()
