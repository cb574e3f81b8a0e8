"""SRTP and SRTCP (RFC 3711, RFC 7714) with the keys of the DTLS handshake, able to continue after a restart.

libsrtp learns the rollover counter (ROC) from the packets it sees and has no way to set it, so a session that
continues is walked there: the sending side protects packets that are thrown away, the receiving side is shown
packets made by a generator with the same key. None of them leaves the process, and every index that was used on
the wire lies behind the session afterwards, so that no keystream is ever used twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pylibsrtp

from agent.media import rtcp, rtp

if TYPE_CHECKING:
    from agent.media.messages import SrtpKeys

SrtpError = pylibsrtp.Error
_REPLAYED = pylibsrtp.ERRORS[9]  # srtp_err_status_replay_fail

KEY_AND_SALT_BYTES = {
    "SRTP_AEAD_AES_256_GCM": 44,
    "SRTP_AEAD_AES_128_GCM": 28,
    "SRTP_AES128_CM_SHA1_80": 30,
}
_PROFILES = {
    "SRTP_AEAD_AES_256_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    "SRTP_AEAD_AES_128_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "SRTP_AES128_CM_SHA1_80": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
}
_STRIDE = 0x6000  # below 2^15, so that each step is unambiguous (RFC 3711 3.3.1); three steps a rollover
_REPLAY_WINDOW = 128  # libsrtp's default: what a continued receiver must refuse to hear twice


@dataclass(frozen=True, slots=True)
class SrtpPosition:
    """Where a session goes on. Indexes are ROC * 65536 + sequence number."""

    tx_index: int  # of the next packet to send
    tx_reports: int  # SRTCP packets sent so far
    rx_ssrc: int | None  # None when nothing was received yet
    rx_index: int  # the highest authenticated


class SrtpSession:
    """Both directions of one stream. `protect`, `unprotect` and their RTCP twins take and return bytes.

    All four raise SrtpError: on the way in a packet that is not authentic, or came before. Raises ValueError
    when the keys do not fit the profile.
    """

    def __init__(self, keys: SrtpKeys, ssrc: int, position: SrtpPosition | None = None) -> None:
        check(keys)
        outbound, inbound = pylibsrtp.Policy.SSRC_ANY_OUTBOUND, pylibsrtp.Policy.SSRC_ANY_INBOUND
        tx = _session(keys.profile, keys.tx, outbound)
        rx = _session(keys.profile, keys.rx, inbound)
        if position is not None:
            for index in _walk(position.tx_index - 1):
                tx.protect(_throw_away(ssrc, index))
            report = rtcp.build(ssrc, "", sender=None, block=None)
            for _ in range(position.tx_reports):
                tx.protect_rtcp(report)
            if position.rx_ssrc is not None:
                generator = _session(keys.profile, keys.rx, outbound)
                for index in _walk(position.rx_index):
                    rx.unprotect(generator.protect(_throw_away(position.rx_ssrc, index)))
        self.protect, self.protect_rtcp = tx.protect, tx.protect_rtcp
        self.unprotect, self.unprotect_rtcp = rx.unprotect, rx.unprotect_rtcp


def came_before(error: Exception) -> bool:
    """Whether a packet was refused because one with its index had come already: the network has doubled it."""
    return error.args == (_REPLAYED,)


def check(keys: SrtpKeys) -> None:
    """Raises ValueError when the profile is unknown or a key has the wrong length; the text holds no key."""
    expected = KEY_AND_SALT_BYTES.get(keys.profile)
    if expected is None:
        known = ", ".join(KEY_AND_SALT_BYTES)
        raise ValueError(f"SRTP profile {keys.profile!r} is not one of {known}")
    if len(keys.tx) != expected or len(keys.rx) != expected:
        raise ValueError(
            f"{keys.profile} takes {expected} bytes of key and salt, got {len(keys.tx)} and {len(keys.rx)}"
        )


def _session(profile: str, key: bytes, direction: int) -> pylibsrtp.Session:
    policy = pylibsrtp.Policy(key=key, ssrc_type=direction, srtp_profile=_PROFILES[profile])
    return pylibsrtp.Session(policy)


def _walk(last: int) -> Iterator[int]:
    """Indexes to pass in order to arrive at `last` with the replay window before it filled."""
    window = max(0, last - _REPLAY_WINDOW + 1)
    yield from range(0, window, _STRIDE)
    yield from range(window, last + 1)


def _throw_away(ssrc: int, index: int) -> bytes:
    return rtp.pack(b"", payload_type=0, sequence=index, timestamp=0, ssrc=ssrc)
