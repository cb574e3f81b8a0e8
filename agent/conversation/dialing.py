"""From the config to one call: which line, which options, which sound devices.

Pure: what comes out is a `DialSettings`, everything a `Conversation` needs to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiortc import RTCIceServer

from agent.calls.call import DEFAULT_RING_S
from agent.calls.commands import CallCommand, CommandError
from agent.gateway.dialog import DialogParams
from agent.gateway.events import Header, IncomingCall
from agent.media.messages import AudioSetup, OpusSetup, RtpSetup, SrtpKeys, TransportSetup
from agent.rtc.peer import Handover, PeerSettings
from agent.settings.call_options import CallOptions
from agent.settings.load import parse_call_options
from agent.settings.model import Config, TargetConfig
from agent.settings.problems import ConfigErrors
from hardware.profile import Profile

# Options that a gateway has no use for, because they name devices here or hold credentials, and those that have a
# field of their own in DialogParams.
_NOT_ON_THE_WIRE = frozenset(
    {
        "destinationNumber", "audio", "callerName", "callerNumber", "customHeaders", "iceServers", "localElement",
        "remoteElement", "localStream", "remoteStream", "micId", "speakerId", "id", "clientState", "userVariables",
    }
)  # fmt: skip


@dataclass(frozen=True)
class DialSettings:
    """One call, decided: options merged, line chosen, devices named."""

    line: str
    target: str
    call_id: str | None
    params: DialogParams
    peer: PeerSettings
    audio: AudioSetup
    opus: OpusSetup
    jitter_target_ms: int
    ring_s: float
    muted: bool

    def transport(self, handover: Handover) -> TransportSetup:
        """What the media process is told once both sides have agreed."""
        ceiling_bps = handover.max_bitrate_bps or self.opus.bitrate_bps
        return TransportSetup(
            remote=handover.remote,
            keys=SrtpKeys(handover.srtp_profile, handover.tx_key, handover.rx_key),
            rtp=RtpSetup(
                ssrc=handover.ssrc,
                payload_type=handover.payload_type,
                remote_payload_type=handover.remote_payload_type,
                cname=handover.cname,
                jitter_target_ms=self.jitter_target_ms,
                codec=handover.codec,
            ),
            opus=replace(
                self.opus,
                bitrate_bps=min(self.opus.bitrate_bps, ceiling_bps),
                fec=handover.fec,
                ptime_ms=handover.ptime_ms,
            ),
        )


class Dialling:
    """Makes `DialSettings` of targets, commands and incoming calls, for one config and one sound profile."""

    def __init__(self, config: Config, profile: Profile) -> None:
        self.config = config
        self._profile = profile

    def of_target(self, name: str) -> DialSettings:
        """A target of the config. Raises `CommandError` naming those there are."""
        options = CallOptions.merged(self.config.call_defaults, self._target(name))
        return self._settings(options, self.config.line_of(name), name)

    def of_command(self, command: CallCommand) -> DialSettings:
        """A command's call: target or destination, with the options of this one call on top."""
        per_call = self._per_call(command.options)
        if command.target is not None:
            target = self._target(command.target)
            options = CallOptions.merged(self.config.call_defaults, target, per_call)
            return self._settings(options, self._line(command.line or target.line), command.target)
        dialled = self._per_call({**command.options, "destinationNumber": command.destination})
        return self._settings(
            CallOptions.merged(self.config.call_defaults, dialled), self._line(command.line), target=""
        )

    def of_incoming(self, incoming: IncomingCall) -> DialSettings:
        """An incoming call: answered with the defaults of the config."""
        options = self.config.call_defaults
        decided = self._settings(options, incoming.line, target="")
        params = DialogParams(
            destination_number=incoming.callee_number,
            caller_id_number=incoming.callee_number,
            remote_caller_id_name=incoming.caller_name,
            remote_caller_id_number=incoming.caller_number,
            custom_headers=decided.params.custom_headers,
            client_state=incoming.client_state,
            user_variables=decided.params.user_variables,
        )
        return replace(decided, params=params)

    def _target(self, name: str) -> TargetConfig:
        target = self.config.targets.get(name)
        if target is None:
            known = ", ".join(self.config.targets) or "none is configured"
            raise CommandError(f"command/call: unknown target {name!r}; targets: {known}")
        return target

    def _per_call(self, options: Mapping[str, Any]) -> CallOptions:
        try:
            return parse_call_options(options)
        except ConfigErrors as errors:
            raise CommandError(f"command/call: {errors.problems[0]}") from None

    def _line(self, name: str | None) -> str:
        if name is None:
            return self.config.default_line
        if name not in self.config.lines:
            raise CommandError(f"command/call: unknown line {name!r}; lines: {', '.join(self.config.lines)}")
        return name

    def _settings(self, options: CallOptions, line: str, target: str) -> DialSettings:
        audio = self.config.audio
        ice = options.iceServers if options.iceServers is not None else self.config.lines[line].ice_servers
        return DialSettings(
            line=line,
            target=target,
            call_id=options.id,
            params=_dialog_params(options),
            peer=PeerSettings(
                ice_servers=tuple(
                    RTCIceServer(
                        urls=server.urls,
                        username=server.username,
                        credential=server.credential.get_secret_value() if server.credential else None,
                    )
                    for server in ice
                ),
                relay_only=options.forceRelayCandidate,
                loopback=self.config.lines[line].is_local,  # then so is the media
                ptime_ms=audio.opus.ptime_ms,
                fec=audio.opus.fec,
                codecs=options.codec_names(),
                bandwidth_kbps=options.bandwidth_kbps(),
            ),
            audio=self._audio_setup(options),
            opus=OpusSetup(**audio.opus.model_dump()),
            jitter_target_ms=audio.jitter_target_ms,
            ring_s=options.timeoutSecs or DEFAULT_RING_S,
            muted=options.mutedMicOnStart,
        )

    def _audio_setup(self, options: CallOptions) -> AudioSetup:
        """The profile's numbers, where the config does not say otherwise."""
        audio, profile = self.config.audio, self._profile
        rate_hz = audio.rate_hz or profile.rate_hz
        period_frames = rate_hz * audio.period_ms // 1000 if audio.period_ms else profile.period_frames
        fill_frames = rate_hz * audio.fill_ms // 1000 if audio.fill_ms else profile.fill_frames
        return AudioSetup(
            capture=options.micId or audio.capture or profile.capture,
            playback=options.speakerId or audio.playback or profile.playback,
            rate_hz=rate_hz,
            period_frames=period_frames,
            periods=audio.periods or profile.periods,
            fill_frames=fill_frames,
        )


def _dialog_params(options: CallOptions) -> DialogParams:
    set_options = options.model_dump(mode="json", include=options.model_fields_set - _NOT_ON_THE_WIRE)
    return DialogParams(
        destination_number=options.destinationNumber or "",
        caller_id_name=options.callerName or "",
        caller_id_number=options.callerNumber or "",
        custom_headers=tuple(Header(header.name, header.value) for header in options.customHeaders or ()),
        client_state=options.clientState,
        user_variables=options.userVariables or {},
        extra={name: _as_json_number(value) for name, value in set_options.items()},
    )


def _as_json_number(value: Any) -> Any:
    """30 seconds are `30` in JavaScript's JSON, never `30.0`."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
