"""A relayed pair as a socket: TURN has no descriptor to pass on, so a datagram socketpair stands in for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from agent.rtc.aiortc_seams import SelectedPair

_READ_BYTES = 2048
_BURST_PACKETS = 32  # what one wake-up may carry: 0.6 s of audio, far above a healthy burst


class RelayBridge:
    """Carries RTP between the media process (`media_socket`) and a TURN allocation. Packets that find the
    other side full are dropped, as a network would."""

    def __init__(self, pair: SelectedPair) -> None:
        self._pair = pair
        self._loop = asyncio.get_running_loop()
        self._ours, self.media_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self._ours, self.media_socket):
            end.setblocking(False)
        self._loop.add_reader(self._ours.fileno(), self._forward_out)
        pair.tap_rtp(self.pass_on)

    def pass_on(self, data: bytes) -> None:
        """Hand a packet of the far end to the media process."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._ours.send(data)

    def _forward_out(self) -> None:
        for _ in range(_BURST_PACKETS):
            try:
                data = self._ours.recv(_READ_BYTES)
            except (BlockingIOError, ConnectionError):
                return
            self._pair.send(data)

    def close(self) -> None:
        self._pair.tap_rtp(None)
        self._loop.remove_reader(self._ours.fileno())
        self._ours.close()
        self.media_socket.close()
