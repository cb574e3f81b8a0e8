"""What the control process keeps of the present call, so that a newly started media process can take it over."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from agent.media import counters, tones, wire
from agent.media.messages import AudioSetup, TransportSetup


@dataclass
class HeldCall:
    """The call as it is to be. `fd` is our own duplicate of its socket, -1 before there is one."""

    setup: AudioSetup
    muted: bool
    deaf: bool = False
    tone: str | None = None  # that goes on until it is stopped
    transport: TransportSetup | None = None
    fd: int = -1
    begun: bool = False  # whether a process has had it: its figures are in the shared counters then

    def open_message(self) -> bytes:
        resumed, self.begun = self.begun, True
        return wire.pack(
            "open", setup=vars(self.setup), muted=self.muted, deaf=self.deaf, tone=self.tone, resumed=resumed
        )

    def connect_message(self) -> bytes:
        """Only with a transport."""
        transport = self.transport
        assert transport is not None  # noqa: S101 - the caller's promise
        # The counters must tell these keys from others without holding them.
        key_id = hashlib.sha256(transport.keys.tx + transport.keys.rx).hexdigest()[: 2 * counters.KEY_ID_BYTES]
        return wire.pack("connect", transport=wire.transport_fields(transport), key_id=key_id)

    def take_transport(self, transport: TransportSetup, fd: int) -> None:
        """`fd` is duplicated; the former one is closed."""
        duplicate = os.dup(fd)
        self.close()
        self.transport, self.fd = transport, duplicate

    def take_tone(self, name: str | None) -> None:
        """Raises ValueError when there is no such tone."""
        if name is not None:
            tones.check(name)
        # A cue that is played once is over when the process is: only what repeats is taken up again.
        self.tone = name if name is not None and tones.repeats(name) else None

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
