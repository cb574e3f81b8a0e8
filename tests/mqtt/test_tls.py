"""TLS: the broker's certificate is checked, ours is shown, and what is wrong is named."""

from __future__ import annotations

import datetime
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.mqtt.broker import LinkSettings, tls_context
from agent.mqtt.link import LinkState
from tests.mqtt.conftest import Device, Mosquitto

DAY = datetime.timedelta(days=1)


class Authority:
    """A private CA that writes PEM files into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        self.ca_file = self._sign("ca", self._name, self._key, ca=True)[0]

    def issue(self, name: str, *, start: datetime.timedelta = -DAY) -> tuple[Path, Path]:
        """Certificate and key for `name`, good for 127.0.0.1, valid from now plus `start` on."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._sign(name, subject, ec.generate_private_key(ec.SECP256R1()), start=start)

    def _sign(
        self,
        name: str,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        ca: bool = False,
        start: datetime.timedelta = -DAY,
    ) -> tuple[Path, Path]:
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start)
            .not_valid_after(now + start + 10 * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def serve_tls(broker: Mosquitto, authority: Authority, *, start: datetime.timedelta = -DAY) -> LinkSettings:
    """Restart the broker with TLS, client certificates required; returns the settings that fit."""
    certificate, key = authority.issue("broker", start=start)
    device_certificate, device_key = authority.issue("door")
    broker.stop()
    broker.config = [
        f"cafile {authority.ca_file}",
        f"certfile {certificate}",
        f"keyfile {key}",
        "require_certificate true",
        "use_identity_as_username true",
    ]
    broker.start()
    return LinkSettings(
        "127.0.0.1",
        broker.port,
        tls=True,
        ca_file=str(authority.ca_file),
        cert_file=str(device_certificate),
        key_file=str(device_key),
    )


async def test_both_sides_show_certificates_and_are_content(broker: Mosquitto, authority: Authority) -> None:
    async with Device(serve_tls(broker, authority)) as device:
        await device.wait_for(LinkState.ONLINE)


async def test_a_broker_of_an_unknown_authority_is_not_spoken_to(broker: Mosquitto, authority: Authority) -> None:
    settings = replace(serve_tls(broker, authority), ca_file="")
    async with Device(settings) as device:
        detail = await device.wait_for(LinkState.OFFLINE)
    assert "certificate is not accepted" in detail
    assert "[mqtt] ca_file" in detail


async def test_a_certificate_of_another_host_is_not_accepted(broker: Mosquitto, authority: Authority) -> None:
    settings = replace(serve_tls(broker, authority), host="localhost")
    async with Device(settings) as device:
        assert "certificate is not accepted" in await device.wait_for(LinkState.OFFLINE)


async def test_a_clock_that_is_not_set_yet_is_waited_for(broker: Mosquitto, authority: Authority) -> None:
    async with Device(serve_tls(broker, authority, start=DAY)) as device:
        assert "waiting for the clock" in await device.wait_for(LinkState.OFFLINE)


async def test_tls_at_a_port_without_it_is_named(broker: Mosquitto) -> None:
    async with Device(LinkSettings("127.0.0.1", broker.port, tls=True)) as device:
        assert "TLS" in await device.wait_for(LinkState.OFFLINE)


@pytest.mark.parametrize("key", ["ca_file", "cert_file"])
def test_a_missing_file_is_named_with_its_key(key: str) -> None:
    with pytest.raises(OSError, match=rf"\[mqtt\] {key}.*/nowhere\.pem.*No such file"):
        tls_context(replace(LinkSettings("h"), **{key: "/nowhere.pem"}))


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(OSError, match=r"\[mqtt\] ca_file .*ca\.pem: not usable as PEM"):
        tls_context(LinkSettings("h", ca_file=str(tmp_path / "ca.pem")))
