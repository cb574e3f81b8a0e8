"""The socketpair that stands in for a TURN allocation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.rtc.relay import RelayBridge


class FakePair:
    """The part of `SelectedPair` that a bridge uses."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        self.tap: Callable[[bytes], None] | None = None

    def tap_rtp(self, tap: Callable[[bytes], None] | None) -> None:
        self.tap = tap

    def send(self, data: bytes) -> None:
        self.sent.put_nowait(data)


async def test_packets_cross_in_both_directions_until_it_is_closed() -> None:
    pair = FakePair()
    bridge = RelayBridge(pair)  # type: ignore[arg-type]
    assert pair.tap is not None
    pair.tap(b"from the far end")
    assert bridge.media_socket.recv(100) == b"from the far end"
    bridge.media_socket.send(b"from the microphone")
    async with asyncio.timeout(5):
        assert await pair.sent.get() == b"from the microphone"
    bridge.close()
    assert pair.tap is None


async def test_a_media_process_that_does_not_read_loses_packets_but_blocks_nobody() -> None:
    pair = FakePair()
    bridge = RelayBridge(pair)  # type: ignore[arg-type]
    assert pair.tap is not None
    for number in range(5000):
        pair.tap(number.to_bytes(2, "big") * 100)
    assert bridge.media_socket.recv(1000) == bytes(200)
    bridge.close()
