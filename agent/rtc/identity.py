"""Who this side of a call is, in every description of it: certificate, SSRC, CNAME and session id."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from agent.rtc import sdp
from agent.rtc.aiortc_seams import Certificate
from agent.rtc.codecs import Codec
from agent.rtc.events import PeerSettings
from agent.rtc.path import Path


class Identity:
    """Stays the same for all of a call, whatever becomes of its paths (RFC 8866 5.2, RFC 3550 6.5.1)."""

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.ssrc = secrets.randbits(31) + 1
        self.cname = secrets.token_hex(8)
        self._session_id = secrets.randbits(62)
        sha256 = next(one for one in certificate.getFingerprints() if one.algorithm == "sha-256")
        self._fingerprint = sdp.Fingerprint(sha256.algorithm, sha256.value)

    def describe(
        self, settings: PeerSettings, path: Path, *, setup: str, codecs: Sequence[Codec], direction: str
    ) -> sdp.LocalAudio:
        """A description of this side over `path`, with the candidates found by now."""
        return sdp.LocalAudio(
            session_id=self._session_id,
            ice_ufrag=path.connection.local_username,
            ice_pwd=path.connection.local_password,
            fingerprint=self._fingerprint,
            candidates=tuple(candidate.to_sdp() for candidate in path.gathering.candidates),
            setup=setup,
            ssrc=self.ssrc,
            cname=self.cname,
            codecs=tuple(codecs),
            trickle=settings.trickle,
            ptime_ms=settings.ptime_ms,
            fec=settings.fec,
            stereo=settings.stereo,
            bandwidth_kbps=settings.bandwidth_kbps,
            direction=direction,
        )
