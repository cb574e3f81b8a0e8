"""How a media end of the lab behaves: like a browser, like FreeSWITCH, silent, with or without telephone events."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

ECHO_DELAY_S = 0.5
FREESWITCH_RSA_BITS = 4096  # verto.md


@dataclass(frozen=True)
class FarEndStyle:
    """How a far end behaves. The default is a browser-like peer that greets and echoes."""

    greeting: npt.NDArray[np.int16] | None = field(default=None, repr=False)  # int16 mono 48 kHz; None: the lab's own
    echo: bool = True
    echo_delay_s: float = ECHO_DELAY_S
    sends_audio: bool = True  # False: connects, then not one RTP packet
    freeswitch_sdp: bool = False
    rsa_bits: int | None = None  # DTLS certificate: RSA of this size instead of ECDSA
    flushes_on_marker: bool = False  # as a FreeSWITCH bridge: a packet with the marker bit is never heard
    offers_telephone_event: bool = True
    answers_telephone_event: bool = True


BROWSER = FarEndStyle()
FREESWITCH = replace(
    BROWSER,
    freeswitch_sdp=True,
    rsa_bits=FREESWITCH_RSA_BITS,
    flushes_on_marker=True,
    offers_telephone_event=False,  # verto.md, "SDP facts": it answers telephone-event and never offers it
)
