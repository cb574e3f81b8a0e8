"""Our receiver: `python -m tests.bench.audio.receiver_ours`. Peer and media process, joined as the daemon joins them.

One JSON object a line: {"answer": sdp, "folder": path} -> {"sdp": sdp}; {"stop": true} -> {"statistics": {...}}. Then
the next call. Ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from agent.media.control import MediaProcess
from agent.media.messages import AudioSetup, Datagram, MediaEvent, OpusSetup, RtpSetup, SrtpKeys, TransportSetup
from agent.rtc.peer import AudioPeer, Connected, PeerEvent, PeerSettings
from tests.bench.audio.receivers import orders


class Call:
    """One call, answered."""

    def __init__(self, media: MediaProcess) -> None:
        self._media = media
        self._events: asyncio.Queue[PeerEvent] = asyncio.Queue()
        self.peer = AudioPeer(PeerSettings(loopback=True, codecs=("opus",)), self._events.put_nowait)
        self._connecting: asyncio.Task[None] | None = None

    async def answer(self, offer: str, folder: str) -> str:
        await self._media.open_audio(AudioSetup("microphone", folder), muted=False)
        self._connecting = asyncio.create_task(self._connect())
        return await self.peer.answer(offer)

    async def _connect(self) -> None:
        while not isinstance(event := await self._events.get(), Connected):
            print(f"our receiver: {event}", file=sys.stderr)
        handover = event.handover
        keys = SrtpKeys(handover.srtp_profile, handover.tx_key, handover.rx_key)
        rtp = RtpSetup(handover.ssrc, handover.payload_type, handover.remote_payload_type, handover.cname)
        opus = OpusSetup(fec=handover.fec, ptime_ms=handover.ptime_ms)
        await self._media.connect(TransportSetup(handover.remote, keys, rtp, opus), handover.fd)
        self.peer.pause_reading()

    async def close(self) -> dict[str, Any]:
        if self._connecting is not None:
            await self._connecting
        statistics = vars(await self._media.close_audio())
        await self.peer.close()
        return statistics


async def main() -> None:
    call: Call | None = None

    def on_event(event: MediaEvent) -> None:
        if isinstance(event, Datagram) and call is not None and event.addr is not None:
            call.peer.inject(event.data, event.addr)

    with tempfile.TemporaryDirectory() as name:
        wrapper = Path(name) / "python"
        wrapper.write_text(
            f'#!/bin/sh\nexec {sys.executable} -S -m tests.bench.audio.recording_card "$4" "$5"\n'
        )  # "$1" to "$3" are -S -m agent.media.process
        wrapper.chmod(0o755)
        media = MediaProcess(on_event, python=str(wrapper))
        running = asyncio.create_task(media.run())
        await media.wait_ready()
        async for order in orders():
            if "answer" in order:
                call = Call(media)
                print(json.dumps({"sdp": await call.answer(order["answer"], order["folder"])}), flush=True)
            elif call is not None:
                print(json.dumps({"statistics": await call.close()}), flush=True)
        running.cancel()
        await asyncio.wait([running])


if __name__ == "__main__":
    asyncio.run(main())
