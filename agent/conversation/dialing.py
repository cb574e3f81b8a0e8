"""From the config to one call: which line, which options, which sound devices.

Pure: what comes out is a `DialSettings`, everything a `Conversation` needs to know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aiortc import RTCIceServer

from agent.calls.call import DEFAULT_RING_S, Party
from agent.calls.commands import CallCommand, CommandError
from agent.calls.incoming import Decision, decide
from agent.calls.state import Direction
from agent.gateway.dialog import DEFAULT_REMOTE_NAME, DialogParams
from agent.gateway.events import Header, IncomingCall
from agent.media.messages import AudioSetup, OpusSetup, RtpSetup, SrtpKeys, TransportSetup
from agent.media.rtcp import FEEDBACK_MINIMUM_S, MINIMUM_S
from agent.rtc.events import Handover, PeerSettings
from agent.service.call_store import SavedCall
from agent.settings.call_options import CallOptions
from agent.settings.line import LineConfig
from agent.settings.load import parse_call_options
from agent.settings.model import Config, TargetConfig
from agent.settings.problems import ConfigErrors
from hardware.devices import VIRTUAL_PREFIX, WAV_PREFIX
from hardware.profile import VIRTUAL, Profile
from hardware.sizes import Sizes, misfit, own_sizes, wished_sizes

logger = logging.getLogger(__name__)

# Options that a gateway has no use for, because they name devices here or hold credentials, and those that have a
# field of their own in DialogParams.
_NOT_ON_THE_WIRE = frozenset(
    {
        "destinationNumber", "audio", "callerName", "callerNumber", "remoteCallerName", "remoteCallerNumber",
        "customHeaders", "iceServers", "localElement", "remoteElement", "localStream", "remoteStream", "micId",
        "micLabel", "speakerId", "id", "clientState", "userVariables",
    }
)  # fmt: skip
# What the SDK says in an answer where its client has it set; its other options are of calls that it places.
_TOLD_IN_AN_ANSWER = frozenset(
    {
        "debug", "debugOutput", "trickleIce", "prefetchIceCandidates", "forceRelayCandidate",
        "keepConnectionAliveOnSocketClose", "mutedMicOnStart",
    }
)  # fmt: skip
_NO_MICROPHONE = (WAV_PREFIX, VIRTUAL_PREFIX)


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
    jitter_min_ms: int
    jitter_max_ms: int
    ring_s: float
    muted: bool
    prefetch: bool = False  # use what was gathered ahead
    ringtone: bool = False
    ringback: bool = False
    cues: bool = False  # sounds at the answer and at the end
    connecting_prompt: str | None = None  # paths of WAV files
    announcement: str | None = None
    failed_prompt: str | None = None
    ended_prompt: str | None = None
    told_of_ringing: bool = True  # whether the gateway says when the far end rings
    dtmf_by_rtp: bool = False
    retry_bucket: str | None = None
    assistant: bool = False  # the far end is an AI assistant, to whom one can write
    timeline: str | None = None  # "file" or "socket": where the call's timeline goes
    per_call: Mapping[str, Any] = field(default_factory=dict, repr=False)  # the options that it alone has

    def transport(self, handover: Handover) -> TransportSetup:
        """What the media process is told once both sides have agreed."""
        ceiling_bps = handover.max_bitrate_bps or self.opus.bitrate_bps
        return TransportSetup(
            remote=handover.remote,
            sources=handover.sources,
            keys=SrtpKeys(handover.srtp_profile, handover.tx_key, handover.rx_key),
            rtp=RtpSetup(
                ssrc=handover.ssrc,
                payload_type=handover.payload_type,
                remote_payload_type=handover.remote_payload_type,
                cname=handover.cname,
                jitter_min_ms=self.jitter_min_ms,
                jitter_max_ms=self.jitter_max_ms,
                codec=handover.codec,
                other_codecs=handover.other_codecs,
                dtmf_payload_type=handover.dtmf_payload_type,
                remote_dtmf_payload_type=handover.remote_dtmf_payload_type,
                receive_only=not handover.sends,
                rtcp_minimum_s=FEEDBACK_MINIMUM_S if handover.feedback else MINIMUM_S,
            ),
            opus=replace(
                self.opus,
                bitrate_bps=min(self.opus.bitrate_bps, ceiling_bps),
                fec=handover.fec,
                ptime_ms=handover.ptime_ms,
                max_ptime_ms=min(self.opus.max_ptime_ms, handover.max_ptime_ms or self.opus.max_ptime_ms),
                dtx=self.opus.dtx if handover.dtx is None else handover.dtx,
                cbr=handover.cbr,
                channels=2 if handover.stereo else 1,
                max_playback_rate_hz=handover.max_playback_rate_hz or self.opus.max_playback_rate_hz,
            ),
        )


class Dialling:
    """Makes `DialSettings` of targets, commands and incoming calls, for one config and one sound profile."""

    def __init__(self, config: Config, profile: Callable[[], Profile]) -> None:
        self.config = config
        self._profile = profile
        self._misfits: set[str] = set()  # profiles that the config's sizes do not fit: told once

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
            decided = self._settings(options, self._line(command.line or target.line), command.target)
        else:
            dialled = self._per_call({**command.options, "destinationNumber": command.destination})
            options = CallOptions.merged(self.config.call_defaults, dialled)
            decided = self._settings(options, self._line(command.line), target="")
        return replace(decided, per_call=_kept(per_call))

    def of_incoming(self, incoming: IncomingCall) -> DialSettings:
        """An incoming call: answered with the defaults of the config."""
        decided = self._settings(self.config.call_defaults, incoming.line, target="")
        caller = Party(incoming.caller_name, incoming.caller_number)
        callee = Party(incoming.callee_name, incoming.callee_number)
        params = _inbound_params(decided.params, callee, caller, incoming.client_state)
        return replace(decided, params=params, ring_s=self.config.incoming.ring_s)

    def of_resumed(self, saved: SavedCall) -> DialSettings:
        """A call that was going on when the daemon went: with the options of its target, if it had one, and its own.
        What a config that has changed meanwhile has no place for is left out."""
        defaults, target = self.config.call_defaults, self.config.targets.get(saved.target)
        try:
            per_call = self._per_call(saved.options)
            decided = self._settings(CallOptions.merged(defaults, target, per_call), saved.line, saved.target)
        except CommandError as error:
            logger.warning("call %s goes on without its own options: %s", saved.call_id, error)
            decided = self._settings(CallOptions.merged(defaults, target), saved.line, saved.target)
        dialled, state = saved.destination or saved.party.number, saved.client_state
        if saved.direction is Direction.INBOUND:
            callee = Party(saved.callee_name, saved.destination)
            params = _inbound_params(decided.params, callee, saved.party, state)
        else:
            own = state or decided.params.client_state
            params = replace(decided.params, destination_number=dialled, client_state=own)
        return replace(decided, params=params, per_call=saved.options)

    def peers_to_gather(self) -> Iterator[PeerSettings]:
        """What calls of this config need, as far as it is to be gathered ahead."""
        dials = [self.of_target(name) for name in self.config.targets]
        dials += [self._settings(self.config.call_defaults, line) for line in self.config.lines]
        return (dial.peer for dial in dials if dial.prefetch)

    def prompt(self, name: str) -> str:
        """The path of a prompt of the config. Raises `CommandError` naming those there are."""
        by_name = self.config.prompts.by_name
        if name not in by_name:
            known = ", ".join(by_name) or "none is configured"
            raise CommandError(f"command/play: unknown prompt {name!r}; prompts: {known}")
        return by_name[name]

    def idle_audio(self) -> AudioSetup:
        """The sound devices of a call with the defaults of the config."""
        return self._audio_setup(self.config.call_defaults)

    def decide(self, incoming: IncomingCall, *, busy: bool) -> Decision:
        """What becomes of an incoming call, as the config says."""
        return decide(self.config.incoming, incoming.caller_number, busy=busy)

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

    def _settings(self, options: CallOptions, line_name: str, target: str = "") -> DialSettings:
        if conflict := options.conflict():
            raise CommandError("command/call: {}: {}".format(*conflict))
        audio, line = self.config.audio, self.config.lines[line_name]
        setup = self._audio_setup(options)
        prompts, named = self.config.prompts, self.config.targets.get(target)
        return DialSettings(
            line=line_name,
            target=target,
            call_id=options.id,
            params=_dialog_params(options, setup.capture),
            peer=_peer_settings(options, line, ptime_ms=audio.opus.ptime_ms, fec=audio.opus.fec),
            audio=setup,
            opus=OpusSetup(**audio.opus.model_dump()),
            jitter_min_ms=audio.jitter_min_ms,
            jitter_max_ms=audio.jitter_max_ms,
            ring_s=options.timeoutSecs or DEFAULT_RING_S,
            muted=options.mutedMicOnStart,
            prefetch=options.prefetchIceCandidates,
            ringtone=self.config.incoming.ringtone,
            ringback=True,
            cues=audio.cues,
            connecting_prompt=prompts.connecting,
            announcement=(named.announcement if named else None) or prompts.announcement,
            failed_prompt=prompts.failed,
            ended_prompt=prompts.ended,
            told_of_ringing=line.dialect == "telnyx",
            dtmf_by_rtp=line.dtmf == "rfc4733",
            retry_bucket=options.retryBucketId,
            timeline=options.timeline,
            assistant=line.anonymous_login is not None,
        )

    def _sizes(self, profile: Profile, rate_hz: int | None) -> Sizes:
        """The config's over the profile's, unless they would leave the speaker mute: which card "auto" finds was not
        known when the config was checked. Without a card there is nothing to tell yet."""
        audio = self.config.audio
        fault = misfit(profile, audio)
        if fault is None:
            return wished_sizes(profile, audio, rate_hz)
        if profile.name not in (VIRTUAL, *self._misfits):
            self._misfits.add(profile.name)
            logger.error("audio.%s: %s. Going on with the profile's own", *fault)
        return own_sizes(profile, rate_hz or audio.rate_hz)

    def _audio_setup(self, options: CallOptions) -> AudioSetup:
        """The profile's numbers, where the config does not say otherwise. Its frames are of its own rate."""
        audio, profile = self.config.audio, self._profile()
        sizes = self._sizes(profile, options.rate_hz)
        capture = "" if options.receive_only else options.capture or audio.capture or profile.capture
        playback = options.playback or audio.playback or profile.playback
        of_profile = (capture, playback) == (profile.capture, profile.playback)
        # The sound of a file needs no cleaning, unless the config says so.
        cleaned = not capture.startswith(_NO_MICROPHONE)
        return AudioSetup(
            capture=capture,
            playback=playback,
            rate_hz=sizes.rate_hz,
            period_frames=sizes.period_frames,
            periods=sizes.periods,
            fill_frames=sizes.fill_frames,
            sidetone=options.sidetone or "",
            record=options.record or "",
            detect_dtmf=audio.detect_dtmf,
            channels=2 if options.stereo else 1,
            tone_plan=audio.tones,
            tone_volume_db=audio.tone_volume_db,
            echo_canceller=_wanted(
                options.echo_cancellation,
                audio.echo_canceller,
                profile.echo_canceller if cleaned else "off",
                default="cascade",
            ),
            noise_suppression=_wanted(
                options.noise_suppression,
                audio.noise_suppression,
                profile.noise_suppression if cleaned else "off",
                default="moderate",
            ),
            gain_control=next(
                (wish for wish in (options.gain_control, audio.gain_control) if wish is not None),
                profile.gain_control and cleaned,
            ),
            one_clock=profile.one_clock if of_profile else capture == playback,
        )


def _wanted(asked: bool | None, configured: str, of_profile: str, *, default: str) -> str:
    """A stage of the microphone's way: the call's wish over the config's over the profile's."""
    if asked is False:
        return "off"
    stage = of_profile if configured == "auto" else configured
    return default if asked and stage == "off" else stage


def _peer_settings(options: CallOptions, line: LineConfig, *, ptime_ms: int, fec: bool) -> PeerSettings:
    servers = options.iceServers if options.iceServers is not None else line.ice_servers
    return PeerSettings(
        ice_servers=tuple(
            RTCIceServer(
                urls=server.urls,
                username=server.username,
                credential=server.credential.get_secret_value() if server.credential else None,
            )
            for server in servers
        ),
        relay_only=options.forceRelayCandidate,
        loopback=line.is_local,  # then so is the media
        ptime_ms=ptime_ms,
        fec=fec,
        codecs=options.codec_names(),
        bandwidth_kbps=options.bandwidth_kbps(),
        trickle=options.trickleIce and line.dialect == "telnyx",  # FreeSWITCH takes candidates in descriptions only
        receive_only=options.receive_only,
        stereo=options.stereo,
    )


def _dialog_params(options: CallOptions, microphone: str) -> DialogParams:
    set_options = options.model_dump(mode="json", include=options.model_fields_set - _NOT_ON_THE_WIRE)
    return DialogParams(
        destination_number=options.destinationNumber or "",
        caller_id_name=options.callerName or "",
        caller_id_number=options.callerNumber or "",
        remote_caller_id_name=options.remoteCallerName or DEFAULT_REMOTE_NAME,
        remote_caller_id_number=options.remoteCallerNumber or "",
        custom_headers=tuple(Header(header.name, header.value) for header in options.customHeaders or ()),
        client_state=options.clientState,
        user_variables=options.userVariables or {},
        extra={name: _as_json_number(value) for name, value in set_options.items()},
        audio=options.audio is not False,  # constraints name devices here
        microphone_label="" if "/" in microphone else microphone,  # a file's path is nobody's business
    )


def _kept(own: CallOptions) -> dict[str, Any]:
    """Of a call's own options as JSON, what a daemon after this one is to have: no passwords, and no id, which is known
    anyway."""
    secret = any(server.credential is not None for server in own.iceServers or ())
    kept = own.model_fields_set - ({"id", "iceServers"} if secret else {"id"})
    return own.model_dump(mode="json", include=kept, exclude_none=True)


def _inbound_params(own: DialogParams, callee: Party, caller: Party, client_state: str | None) -> DialogParams:
    """Of a call that `caller` has placed to us, who are `callee` there."""
    return DialogParams(
        destination_number=callee.number,
        caller_id_name=callee.name,
        caller_id_number=callee.number,
        remote_caller_id_name=caller.name,
        remote_caller_id_number=caller.number,
        custom_headers=own.custom_headers,
        client_state=client_state,
        user_variables=own.user_variables,
        extra={name: value for name, value in own.extra.items() if name in _TOLD_IN_AN_ANSWER},
        microphone_label=own.microphone_label,
    )


def _as_json_number(value: Any) -> Any:
    """30 seconds are `30` in JavaScript's JSON, never `30.0`."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
