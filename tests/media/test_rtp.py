import pytest
from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from agent.media import rtp


def test_header_is_the_one_of_rfc_3550() -> None:
    packet = rtp.pack(b"voice", payload_type=111, sequence=70000, timestamp=2**32 + 5, ssrc=0xCAFEBABE, marker=True)
    parsed = RtpPacket.parse(packet)
    assert (parsed.marker, parsed.payload_type, parsed.sequence_number) == (1, 111, 70000 - 65536)
    assert (parsed.timestamp, parsed.ssrc, parsed.payload) == (5, 0xCAFEBABE, b"voice")
    assert rtp.payload_of(packet) == b"voice"


@given(
    payload=st.binary(max_size=50),
    csrc=st.lists(st.integers(0, 2**32 - 1), max_size=15),
    extension=st.none() | st.integers(0, 5),
    padding=st.integers(0, 9),
)
def test_payload_is_found_behind_csrc_extension_and_padding(
    payload: bytes, csrc: list[int], extension: int | None, padding: int
) -> None:
    first = 0x80 | len(csrc) | (0x10 if extension is not None else 0) | (0x20 if padding else 0)
    head = bytes([first]) + rtp.pack(b"", payload_type=0, sequence=1, timestamp=2, ssrc=3)[1:]
    words = b"".join(source.to_bytes(4) for source in csrc)
    if extension is not None:
        words += b"\xbe\xde" + extension.to_bytes(2) + b"\x00\x00\x00\x00" * extension
    tail = bytes(padding - 1) + bytes([padding]) if padding else b""
    assert rtp.payload_of(head + words + payload + tail) == payload
    assert RtpPacket.parse(head + words + payload + tail, HeaderExtensionsMap()).payload == payload


VOICE = bytes.fromhex("0102030405")
HEADER = "6f 1234 89abcdef cafebabe"  # without its first byte


@pytest.mark.parametrize(
    "packet",
    [
        "80" + HEADER,
        "82" + HEADER + "00000001 00000002",  # two CSRCs
        "90" + HEADER + "bede0001 10ff0000",  # one-byte extensions (RFC 8285 4.2), with padding
        "90" + HEADER + "10000002 0101ff00 02040000",  # two-byte extensions (4.3)
        "90" + HEADER + "bede0000",  # none of them
        "9f" + HEADER + 15 * "00000001" + "bede0001 10ff0000",
    ],
)
def test_payload_is_found_in_packets_bit_by_bit(packet: str) -> None:
    data = bytes.fromhex(packet) + VOICE
    assert rtp.payload_of(data) == VOICE
    assert rtp.unpack_header(data)[1:] == (0x6F, 0x1234, 0x89ABCDEF, 0xCAFEBABE)
    padded = bytes([data[0] | 0x20]) + data[1:] + bytes.fromhex("000003")
    assert rtp.payload_of(padded) == VOICE


def test_what_we_send_is_bit_by_bit_the_header_of_the_rfc() -> None:
    packet = rtp.pack(VOICE, payload_type=111, sequence=0x1234, timestamp=0x89ABCDEF, ssrc=0xCAFEBABE, marker=True)
    assert packet == bytes.fromhex("80ef 1234 89abcdef cafebabe") + VOICE


@given(st.binary(max_size=80))
def test_hostile_bytes_are_refused_or_give_a_part_of_themselves(data: bytes) -> None:
    try:
        assert rtp.payload_of(data) in data
    except rtp.RtpError:
        return


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x80" * 11, b"\x8f" + bytes(20), b"\x90" + bytes(13), b"\xa0" + bytes(12),
        b"\xa0" + bytes(11) + b"\x40", b"\x00" * 20, b"\xc0" + bytes(20), b"\x9f" + bytes(71),
        b"\x90" + bytes(11) + b"\xbe\xde\0\2" + bytes(7), b"\xb0" + bytes(11) + b"\xbe\xde\0\0\5",
    ],
)  # fmt: skip
def test_truncated_packets_are_refused(data: bytes) -> None:
    with pytest.raises(rtp.RtpError):
        rtp.payload_of(data)


@given(st.integers(0, 65535), st.integers(-32768, 32767))
def test_sequence_numbers_are_compared_around_their_end(sequence: int, step: int) -> None:
    assert rtp.sequence_delta((sequence + step) & 0xFFFF, sequence) == step


@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1))
def test_timestamps_are_compared_around_their_end(timestamp: int, step: int) -> None:
    assert rtp.timestamp_delta((timestamp + step) & 0xFFFFFFFF, timestamp) == step
