"""One container for all tests of the service; it boots once and Callpoint is installed in it once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.systemd.container import SOURCE, Container, why_not

CONFIG = """
[device]
id = "nspawn"
[lines.dead]                       # nobody listens there: the service must be up all the same
dialect = "verto"
host = "ws://127.0.0.1:9"
login = "1000"
password = { credential = "dead-password" }
[targets.reception]
destinationNumber = "1001"
[buttons.bell]
gpio = 17
press = { target = "reception" }
[board]
kind = "virtual"
[audio]
capture = "virtual:silence"
playback = "virtual:null"
"""
PASSWORD = "swordfish-in-the-credentials"
INSTALL = f"sh {SOURCE}/systemd/install.sh"
INSTALL_TIMEOUT_S = 600.0  # a cold pip cache downloads 60 MB and compiles two packages


@pytest.fixture(scope="session")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Callpoint freshly installed by systemd/install.sh, never started."""
    reason = why_not()
    if reason and not os.environ.get("CI"):
        pytest.skip(f"no container for the systemd tests: {reason}")
    assert reason is None, reason
    box = Container(tmp_path_factory.mktemp("nspawn") / "base")
    try:
        box.first_install = box.run(INSTALL, timeout_s=INSTALL_TIMEOUT_S)
        yield box
    finally:
        box.stop()


@pytest.fixture(scope="session")
def configured(container: Container) -> Container:
    """The same, with a config of its owner's and its secret, installed again as after an update."""
    container.write("/etc/callpoint/callpoint.toml", CONFIG)
    container.run("umask 077; cat > /etc/callpoint/credentials/dead-password", stdin=f"{PASSWORD}\n")
    container.run(INSTALL, timeout_s=INSTALL_TIMEOUT_S)
    return container


@pytest.fixture
def service(configured: Container) -> Iterator[Container]:
    """The service started anew: active, no restart counted."""
    configured.run("systemctl reset-failed callpoint; systemctl start callpoint")
    yield configured
    configured.run("systemctl stop callpoint", check=False)
