import dataclasses

import pylibsrtp
import pytest

from agent.media import rtcp, rtp
from agent.media.messages import SrtpKeys
from agent.media.srtp import KEY_AND_SALT_BYTES, SrtpError, SrtpPosition, SrtpSession

PROFILES = {
    "SRTP_AEAD_AES_256_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    "SRTP_AEAD_AES_128_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "SRTP_AES128_CM_SHA1_80": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
}
OURS, THEIRS = 1111, 2222
REPORT = rtcp.build(OURS, "door", sender=None, block=None)


def keys_for(profile: str) -> SrtpKeys:
    size = KEY_AND_SALT_BYTES[profile]
    return SrtpKeys(profile, tx=bytes(range(size)), rx=bytes(range(100, 100 + size)))


def stock(keys: SrtpKeys, *, sends: bool) -> pylibsrtp.Session:
    """The far end, as any aiortc has it."""
    kind = pylibsrtp.Policy.SSRC_ANY_OUTBOUND if sends else pylibsrtp.Policy.SSRC_ANY_INBOUND
    key = keys.rx if sends else keys.tx
    return pylibsrtp.Session(pylibsrtp.Policy(key=key, ssrc_type=kind, srtp_profile=PROFILES[keys.profile]))


def packet(ssrc: int, index: int) -> bytes:
    return rtp.pack(b"voice %d" % index, payload_type=111, sequence=index, timestamp=index * 960, ssrc=ssrc)


@pytest.mark.parametrize("profile", PROFILES)
def test_stock_sessions_understand_ours_both_ways(profile: str) -> None:
    keys = keys_for(profile)
    session, receiver, sender = SrtpSession(keys, OURS), stock(keys, sends=False), stock(keys, sends=True)
    for index in (40000, 40001):
        assert receiver.unprotect(session.protect(packet(OURS, index))) == packet(OURS, index)
        assert session.unprotect(sender.protect(packet(THEIRS, index))) == packet(THEIRS, index)
    assert receiver.unprotect_rtcp(session.protect_rtcp(REPORT)) == REPORT
    assert session.unprotect_rtcp(sender.protect_rtcp(REPORT)) == REPORT


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("index", [3, 40000, 65535, 65536, 65536 + 40000, 5 * 65536 + 17])
def test_a_new_session_continues_where_the_dead_one_stood(profile: str, index: int) -> None:
    keys = keys_for(profile)
    far_receiver, far_sender = stock(keys, sends=False), stock(keys, sends=True)
    dead = SrtpSession(keys, OURS)
    walk = [*range(0, index, 20000), index]
    heard = [far_sender.protect(packet(THEIRS, step)) for step in walk]
    for step, data in zip(walk, heard, strict=True):
        far_receiver.unprotect(dead.protect(packet(OURS, step)))
        dead.unprotect(data)
    reports = [dead.protect_rtcp(REPORT) for _ in range(3)]
    for data in reports:
        far_receiver.unprotect_rtcp(data)

    alive = SrtpSession(keys, OURS, SrtpPosition(index + 1, 3, THEIRS, index))
    # The far end refuses every index that it has seen (replay) or cannot guess (authentication).
    for step in range(index + 1, index + 5):
        assert far_receiver.unprotect(alive.protect(packet(OURS, step))) == packet(OURS, step)
        assert alive.unprotect(far_sender.protect(packet(THEIRS, step))) == packet(THEIRS, step)
    assert far_receiver.unprotect_rtcp(alive.protect_rtcp(REPORT)) == REPORT
    with pytest.raises(SrtpError, match="replay"):
        alive.unprotect(heard[-1])


@pytest.mark.parametrize("profile", PROFILES)
def test_no_keystream_is_used_twice(profile: str) -> None:
    keys, index = keys_for(profile), 65536 + 5
    dead, alive = SrtpSession(keys, OURS), SrtpSession(keys, OURS, SrtpPosition(index, 7, None, 0))
    plain = bytes(64)
    same = [
        session.protect(rtp.pack(plain, payload_type=0, sequence=number, timestamp=0, ssrc=OURS))
        for session, number in ((dead, 5), (alive, index))
    ]
    assert same[0][:12] == same[1][:12]  # the same header on the wire, one rollover later
    assert same[0][12:] != same[1][12:]
    with pytest.raises(SrtpError, match="replay"):
        alive.protect(packet(OURS, index - 1))
    tag = 10 if profile == "SRTP_AES128_CM_SHA1_80" else 0
    numbers = []
    for session, count in ((dead, 7), (alive, 3)):
        for _ in range(count):
            data = session.protect_rtcp(REPORT)
            numbers.append(data[len(data) - tag - 4 : len(data) - tag])
    assert len(set(numbers)) == 10


def test_errors_name_the_profile_and_never_the_key() -> None:
    keys = keys_for("SRTP_AEAD_AES_256_GCM")
    with pytest.raises(ValueError, match=r"takes 44 bytes of key and salt, got 44 and 3") as caught:
        SrtpSession(dataclasses.replace(keys, rx=b"abc"), OURS)
    assert "abc" not in str(caught.value)
    with pytest.raises(ValueError, match="SRTP_NULL"):
        SrtpSession(dataclasses.replace(keys, profile="SRTP_NULL"), OURS)
