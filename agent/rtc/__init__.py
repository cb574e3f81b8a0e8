"""WebRTC without the audio: SDP, ICE and DTLS of one audio line, composed from aiortc's ORTC objects.

What leaves this package is a `Handover`: the socket, the far end's address and the SRTP keys. From then on every
RTP and RTCP packet belongs to the media process; STUN and DTLS come back here through `AudioPeer.inject`.
"""
