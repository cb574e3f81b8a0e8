"""The private names of aiortc and aioice that agent/rtc/aiortc_seams.py and aioice_seams.py stand on. Red here means:
a new version moved something, look at the seams before anything else."""

from __future__ import annotations

import asyncio
import inspect
from importlib.metadata import version

import aioice.ice
import aioice.turn
from aioice import Candidate, stun
from aioice.ice import CandidatePair, Connection, StunProtocol
from aiortc import RTCCertificate, RTCDtlsTransport
from aiortc.rtcdtlstransport import SRTP_PROFILES

from agent.rtc.aioice_seams import IceConnection
from agent.rtc.aiortc_seams import DtlsCarrier, make_dtls


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_the_versions_are_those_the_seams_were_written_for() -> None:
    assert version("aiortc").split(".")[:2] == ["1", "16"]
    assert version("aioice").split(".")[:2] == ["0", "13"]


async def test_what_our_connection_overrides_is_what_aioice_calls() -> None:
    calls = {
        "_remote_candidates_expected": "_check_periodic",
        "_prune_components": "_end_remote_candidates",
        "query_consent": "connect",
    }
    for name, caller in calls.items():
        assert parameters(getattr(Connection, name)) == ["self"]
        assert f"self.{name}()" in inspect.getsource(getattr(Connection, caller))
    assert parameters(Connection.data_received) == ["self", "data", "component"]
    assert "self.receiver.data_received(data" in inspect.getsource(StunProtocol.datagram_received)
    assert parameters(aioice.ice.get_host_addresses) == ["use_ipv4", "use_ipv6"]


async def test_a_connection_has_the_state_that_late_candidates_need() -> None:
    connection = IceConnection(relay_only=False)
    state = vars(connection)
    for name, empty in {"_protocols": [], "_nominated": {}, "_remote_candidates": []}.items():
        assert state[name] == empty
    for name in ("_local_candidates_end", "_check_list_done", "_early_checks_done", "ice_controlling"):
        assert state[name] is False
    assert parameters(Connection._pair_remote_candidate) == ["self", "remote_candidate"]
    assert parameters(Connection.build_request) == ["self", "pair", "nominate"]
    assert parameters(Connection.check_complete) == ["self", "pair"]
    for name in ("_check_list", "_nominated", "_query_consent_task"):
        assert hasattr(connection, name), name
    for name in ("_check_list_maybe_complete", "_check_list_maybe_fail", "sort_check_list"):
        assert parameters(getattr(Connection, name)) == ["self"]
    assert "self._local_candidates_end" in inspect.getsource(Connection.connect)
    await connection.close()


async def test_a_turn_transport_keeps_its_client_and_its_tasks_under_known_names() -> None:
    inner = aioice.turn.TurnClientUdpProtocol(("127.0.0.1", 9), "u", "p", 600, 500)
    transport = aioice.turn.TurnTransport(inner)
    assert transport._TurnTransport__inner_protocol is inner  # type: ignore[attr-defined]
    assert transport._TurnTransport__close_task is None  # type: ignore[attr-defined]
    assert transport._TurnTransport__send_tasks == set()  # type: ignore[attr-defined]
    assert parameters(aioice.turn.TurnClientTcpProtocol) == parameters(aioice.turn.TurnClientUdpProtocol)
    assert parameters(aioice.turn.TurnTransport._connect) == ["self", "protocol"]
    assert parameters(inner.request_with_retry) == ["request"]


def test_requests_take_a_key_and_a_number_of_retransmissions() -> None:
    assert parameters(StunProtocol.request) == ["self", "request", "addr", "integrity_key", "retransmissions"]
    assert issubclass(stun.TransactionTimeout, stun.TransactionError)
    assert issubclass(stun.TransactionFailed, stun.TransactionError)


async def test_a_dtls_transport_needs_no_more_of_its_transport_than_our_carrier_has() -> None:
    source = inspect.getsource(RTCDtlsTransport)
    used = {word for word in ("_recv", "_send", "role", "state") if f"self.transport.{word}" in source}
    assert used <= {"_recv", "_send", "role"}
    dtls = make_dtls(DtlsCarrier(), RTCCertificate.generateCertificate(), "server")
    assert dtls._role == "server"
    assert dtls._ssl is None
    assert [(p.openssl_profile, p.key_length, p.salt_length) for p in SRTP_PROFILES] == [
        (b"SRTP_AEAD_AES_256_GCM", 32, 12),
        (b"SRTP_AEAD_AES_128_GCM", 16, 12),
        (b"SRTP_AES128_CM_SHA1_80", 16, 14),
    ]
    assert SRTP_PROFILES[2].get_key_and_salt(bytes(range(60)), 1) == bytes([*range(16, 32), *range(46, 60)])
    assert parameters(RTCCertificate._create_ssl_context) == ["self", "srtp_profiles"]


def test_a_pair_knows_its_protocol_and_addresses() -> None:
    for name in ("local_candidate", "remote_addr"):
        assert isinstance(inspect.getattr_static(CandidatePair, name), property)
    assert "datagram_received" in vars(StunProtocol)
    assert Candidate.from_sdp("1 1 udp 1 127.0.0.1 9 typ host").to_sdp() == "1 1 udp 1 127.0.0.1 9 typ host"


async def test_the_loop_can_be_told_to_leave_a_datagram_socket_alone() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    fd = transport.get_extra_info("socket").fileno()
    await asyncio.sleep(0)
    assert loop._remove_reader(fd) is True  # type: ignore[attr-defined]
    loop._add_reader(fd, transport._read_ready)  # type: ignore[attr-defined]
    assert loop._remove_reader(fd) is True  # type: ignore[attr-defined]
    transport.close()
