"""Chromium with Telnyx's SDK in it, for all tests here that are named after it; one browser for a whole run."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent.lab import voice
from agent.lab.gateway import LabGateway
from tests.device import PASSWORD as DEVICE_PASSWORD
from tests.interop.sdk.browser import Browser, install_sdk, missing, page_server
from tests.interop.sdk.device import NAME
from tests.interop.sdk.telephone import LOGIN, OTHER_LOGIN, PASSWORD, SDK_SAYS, Telephone


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name.startswith("test_sdk"):
            item.add_marker("sdk")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if (reason := missing()) is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    install_sdk()
    microphone = tmp_path_factory.mktemp("browser") / "sdk-says.wav"
    voice.write_wav(microphone, SDK_SAYS)
    with page_server() as url:
        running = Browser(microphone, url)
        try:
            yield running
        finally:
            running.close()


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(users={LOGIN: PASSWORD, OTHER_LOGIN: PASSWORD, NAME: DEVICE_PASSWORD}) as running:
        yield running


@pytest.fixture
async def phone(browser: Browser, gateway: LabGateway) -> AsyncIterator[Telephone]:
    """The SDK in a fresh page; not logged in yet."""
    async with browser.page() as page:
        yield Telephone(page, gateway)


@pytest.fixture
async def other_phone(browser: Browser, gateway: LabGateway) -> AsyncIterator[Telephone]:
    """A second SDK, for calls between two of them; not logged in yet."""
    async with browser.page() as page:
        yield Telephone(page, gateway)
