"""The private names of aiortc and aioice that agent/rtc/aiortc_seams.py stands on. Red here means: a new version
moved something, look at the seams before anything else."""

from __future__ import annotations

import asyncio
import inspect
from importlib.metadata import version

from aioice.ice import CandidatePair, Connection, StunProtocol
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceTransport
from aiortc.rtcdtlstransport import SRTP_PROFILES
from aiortc.rtcicetransport import connection_kwargs


def test_the_versions_are_those_the_seams_were_written_for() -> None:
    assert version("aiortc").split(".")[:2] == ["1", "16"]
    assert version("aioice").split(".")[:2] == ["0", "13"]


async def test_a_gatherer_hands_its_connection_to_the_transport() -> None:
    gatherer = RTCIceGatherer(iceServers=[])
    assert RTCIceTransport(gatherer)._connection is gatherer._connection
    assert list(inspect.signature(Connection.get_component_candidates).parameters) == [
        "self",
        "component",
        "addresses",
        "timeout",
    ]
    assert gatherer._connection._nominated == {}
    assert list(inspect.signature(Connection.data_received).parameters) == ["self", "data", "component"]


def test_only_the_first_stun_and_turn_server_are_taken() -> None:
    assert connection_kwargs([]) == {}


async def test_a_dtls_transport_has_a_role_an_ssl_object_and_profiles() -> None:
    ice = RTCIceTransport(RTCIceGatherer(iceServers=[]))
    dtls = RTCDtlsTransport(ice, [RTCCertificate.generateCertificate()])
    dtls._set_role("server")
    assert dtls._role == "server"
    assert dtls._ssl is None
    assert [(p.openssl_profile, p.key_length, p.salt_length) for p in SRTP_PROFILES] == [
        (b"SRTP_AEAD_AES_256_GCM", 32, 12),
        (b"SRTP_AEAD_AES_128_GCM", 16, 12),
        (b"SRTP_AES128_CM_SHA1_80", 16, 14),
    ]
    assert SRTP_PROFILES[2].get_key_and_salt(bytes(range(60)), 1) == bytes([*range(16, 32), *range(46, 60)])
    assert list(inspect.signature(RTCCertificate._create_ssl_context).parameters) == ["self", "srtp_profiles"]


def test_a_pair_knows_its_protocol_and_addresses() -> None:
    for name in ("local_candidate", "remote_addr"):
        assert isinstance(inspect.getattr_static(CandidatePair, name), property)
    assert "datagram_received" in vars(StunProtocol)


async def test_the_loop_can_be_told_to_leave_a_datagram_socket_alone() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    fd = transport.get_extra_info("socket").fileno()
    await asyncio.sleep(0)
    assert loop._remove_reader(fd) is True  # type: ignore[attr-defined]
    loop._add_reader(fd, transport._read_ready)  # type: ignore[attr-defined]
    assert loop._remove_reader(fd) is True  # type: ignore[attr-defined]
    transport.close()
