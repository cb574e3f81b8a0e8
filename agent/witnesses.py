"""What is written down of calls, where the owner wants it: Telnyx's call reports and the `debug` option's timeline."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from agent.calls.state import CallState, Direction
from agent.gateway.errors import LineDown
from agent.gateway.events import LineChanged, LineState
from agent.gateway.messages import USER_AGENT
from agent.reports.report import CallReport, ReportedCall
from agent.reports.timeline import DebugReport, Timeline, write_timeline
from agent.reports.upload import ReportUploader
from agent.rtc.peer import Connected
from agent.settings.service import state_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from agent.calls.codes import Code
    from agent.conversation.conversation import Conversation
    from agent.conversation.events import Observer
    from agent.gateway.line import GatewayLine
    from agent.rtc.peer import PathKind
    from agent.settings.line import LineConfig
    from agent.settings.model import Config

Authentication = Literal["login_password", "login_token", "anonymous_login", "unknown"]


class CallRecords:
    """Makes the witnesses that the config asks for, and ends their uploads."""

    def __init__(self, config: Config, lines: Mapping[str, GatewayLine]) -> None:
        self._config, self._lines = config, lines
        self._uploaders = {name: ReportUploader(line.url) for name, line in config.lines.items() if line.callReports}
        self.witnesses: Sequence[Callable[[Conversation], Observer | None]] = (self._report, self._timeline)

    async def close(self) -> None:
        """Give the reports under way their two seconds."""
        await asyncio.gather(*(asyncio.to_thread(uploader.close) for uploader in self._uploaders.values()))

    def _report(self, conversation: Conversation) -> Observer | None:
        name = conversation.call.line
        uploader = self._uploaders.get(name)
        if uploader is None:
            return None
        return ReportWitness(conversation, self._lines[name], uploader, _authentication(self._config.lines[name]))

    def _timeline(self, conversation: Conversation) -> Observer | None:
        config = self._config
        match conversation.dial.timeline:
            case "file":
                folder = state_folder(config.service, config.device.id) / "timelines"
                return TimelineWitness(conversation, self._lines[conversation.call.line], folder)
            case "socket":
                return TimelineWitness(conversation, self._lines[conversation.call.line], None)
        return None


def _authentication(line: LineConfig) -> Authentication:
    if line.login_token is not None:
        return "login_token"
    return "anonymous_login" if line.anonymous_login is not None else "login_password"


class ReportWitness:
    """Uploads a report of one call to its gateway (telnyx-rtc.md 7.4)."""

    def __init__(
        self, conversation: Conversation, line: GatewayLine, uploader: ReportUploader, authentication: Authentication
    ) -> None:
        self._line, self._uploader = line, uploader
        self._loop = asyncio.get_running_loop()
        call, dial = conversation.call, conversation.dial
        inbound = call.direction is Direction.INBOUND
        reported = ReportedCall(
            call_id=call.id,
            direction="inbound" if inbound else "outbound",
            destination_number=dial.params.destination_number,
            caller_number=call.party.number if inbound else dial.params.caller_id_number,
            version=USER_AGENT,
            authentication=authentication,
            media={
                "trickleIce": dial.peer.trickle,
                "prefetchIceCandidates": dial.prefetch,
                "forceRelayCandidate": dial.peer.relay_only,
                "mutedMicOnStart": dial.muted,
            },
        )
        self._report = CallReport(reported, self._loop.time(), time.time())
        self._connected = True  # to the gateway; while it is not there is no second connection to lose
        self._path: PathKind | None = None

    def changed(self, conversation: Conversation) -> None:
        """The last report leaves when the call has ended; the line forgets the call's names then."""
        ids = self._line.telnyx_ids(conversation.call.id)
        self._report.learn_ids(ids.session_id, ids.leg_id, ids.call_control_id)
        if conversation.call.ended:
            self._send(conversation, self._report.finish(self._loop.time()))

    def counted(self, conversation: Conversation) -> None:
        """Another second."""
        state = conversation.call.state.value
        self._send(conversation, self._report.take(conversation.stats, self._loop.time(), state, self._path))

    def noted(self, conversation: Conversation, event: LineChanged | Connected) -> None:
        """What there is leaves when the connection to the gateway is lost, as the SDK does it."""
        match event:
            case LineChanged(state=state):
                lost = self._connected and state is not LineState.READY
                self._connected = state is LineState.READY
                if lost:
                    self._send(conversation, self._report.flush(conversation.call.state.value, self._loop.time()))
            case Connected(path=path):
                self._path = path

    def warned(self, conversation: Conversation, code: Code, text: str, *, cleared: bool = False) -> None:
        """The report has figures only."""

    def _send(self, conversation: Conversation, payload: dict[str, object] | None) -> None:
        if payload is not None and (report_id := self._line.call_report_id):
            self._uploader.send(
                payload,
                call_id=conversation.call.id,
                call_report_id=report_id,
                voice_sdk_id=self._line.session.voice_sdk_id,
            )


class TimelineWitness:
    """Keeps one call's timeline: as a file in `folder`, or, without one, as debug frames to the gateway."""

    def __init__(self, conversation: Conversation, line: GatewayLine, folder: Path | None) -> None:
        self._line, self._folder = line, folder
        self._loop = asyncio.get_running_loop()
        self._timeline = Timeline(conversation.call.id, self._loop.time())
        self._frames = None if folder is not None else DebugReport(conversation.call.id, time.time())
        self._state: CallState | None = None
        if self._frames is not None:
            self._post(self._frames.start())

    def changed(self, conversation: Conversation) -> None:
        """A state, or the call's end, with which the file is written."""
        call = conversation.call
        if call.state is self._state:
            return
        self._state = call.state
        self._add("state", state=call.state.value, reason=call.reason.value if call.reason else None)
        if not call.ended:
            return
        if self._frames is not None:
            self._post(self._frames.stop())
        elif self._folder is not None:
            self._loop.run_in_executor(None, write_timeline, self._timeline, self._folder)

    def counted(self, conversation: Conversation) -> None:
        """Another second's figures."""
        self._add("stats", **asdict(conversation.stats))

    def noted(self, _conversation: Conversation, event: LineChanged | Connected) -> None:
        """The line's state, or the kind of the path."""
        match event:
            case LineChanged(state=state):
                self._add("line", state=state.value)
            case Connected(path=path):
                self._add("path", **asdict(path) if path is not None else {})

    def warned(self, conversation: Conversation, code: Code, text: str, *, cleared: bool = False) -> None:
        """Something is not as it should be, or is again."""
        self._add(
            "warning", code=int(code), name=code.name, text=text, cleared=cleared, state=conversation.call.state.value
        )

    def _add(self, event: str, **fields: object) -> None:
        entry = self._timeline.add(event, self._loop.time(), **fields)
        if self._frames is not None:
            self._post(self._frames.data(entry))

    def _post(self, frame: dict[str, object]) -> None:
        with contextlib.suppress(LineDown):  # what happens meanwhile is not told
            self._line.post_frame(frame)
