"""Everything the device tells the world as it happens: the one list of event types, and who hears them."""

from __future__ import annotations

from typing import Any, Literal, Protocol

EventType = Literal[
    "button",  # {"button", "action"}: a `hardware.buttons.ButtonEvent`
    "input",  # {"input", "kind": "privacy" | "door_contact", "active"}: a switch or a door is another than before
    "custom",  # {"name", "source"}: what a button's or a door's { event = "name" } says
    "incoming_call",  # {"call": …}; it rings until answer, hangup or the caller gives up
    "call_state",  # {"call": …} on every change of a call's state but the last
    "call_ended",  # {"call": …} with reason, detail, duration_s and the figures of its audio
    "plan_failed",  # {"plan", "cycles", "attempts": [{"target", "reason" | None, "detail"}] of the last cycle}
    "dtmf",  # {"call_id", "digit", "source": "info" | "rfc4733" | "inband"} received from the far end; without the
    # digit (null) where several digits in a row open a door: they are a secret
    "relay",  # {"relay" | None, "action": "on" | "off" | "refused" | "wrong_code" | "codes_locked",
    # "by": "command" | "dtmf", "call_id" | None, "detail"}: a door was opened, or somebody tried
    "message",  # {"call_id", "text"} received from the far end
    "display",  # {"call_id", "name", "number"}: the far end is somebody else now, after a transfer for example
    "ai_conversation",  # {"line", "item"}: what an AI assistant says, hears or does
    "warning",  # {"code", "name", "text", "cleared", "call_id" | None, "line" | None}: a code of `agent.calls.codes`
    "line_state",  # {"line", "state", "detail"}
    "network_changed",  # {"detail"}: an address or the default route is another; lines and audio paths are made anew
    "audio_failed",  # {"detail"}: a sound device is missing or broken; it is retried
    "audio_opened",  # {"rate_hz", "period_frames"}
    "self_test",  # {"result": "ok" | "failed" | "aborted", "part", "detail", "at", figures}
    "media_restarted",  # {"restarts"}: the media process died and is back
]


class Publisher(Protocol):
    """Who wants to know: MQTT, the control socket, systemd. None of these may block or raise."""

    def publish_state(self, state: dict[str, Any]) -> None:
        """The device's whole state, after every change of it."""
        ...

    def publish_event(self, event: EventType, data: dict[str, Any]) -> None:
        """Something happened."""
        ...

    def publish_figures(self, figures: dict[str, Any]) -> None:
        """Levels and packet counts of the call, once a second."""
        ...
