"""Who hears what the device tells: MQTT, whoever listens at the control socket, and systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.calls.events import EventType
    from agent.mqtt.bridge import MqttBridge
    from agent.service.control_socket import ControlServer
    from agent.service.notify import Notifier


class MqttEvents:
    """MQTT hears of state and events; figures once a second would only fill a database."""

    def __init__(self, bridge: MqttBridge) -> None:
        self._bridge = bridge

    def publish_state(self, state: dict[str, Any]) -> None:
        self._bridge.publish_state(state)

    def publish_event(self, event: EventType, data: dict[str, Any]) -> None:
        self._bridge.publish_event(event, data)
        if event == "call_ended":
            self._bridge.publish_diagnostics(data)

    def publish_figures(self, figures: dict[str, Any]) -> None:
        """Not for MQTT."""


class ControlEvents:
    """Whoever listens at the control socket hears everything."""

    def __init__(self, server: ControlServer) -> None:
        self._server = server

    def publish_state(self, state: dict[str, Any]) -> None:
        self._server.broadcast({"type": "state", **state})

    def publish_event(self, event: EventType, data: dict[str, Any]) -> None:
        self._server.broadcast({"type": event, **data})

    def publish_figures(self, figures: dict[str, Any]) -> None:
        self._server.broadcast({"type": "figures", **figures})


class ServiceStatus:
    """The line that `systemctl status callpoint` shows."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def publish_state(self, state: dict[str, Any]) -> None:
        lines = ", ".join(f"line {name} {line['state']}" for name, line in state["lines"].items())
        problem = f"; audio: {state['audio_problem']}" if state["audio_problem"] else ""
        self._notifier.status(f"{state['state']}; {lines}{problem}")

    def publish_event(self, event: EventType, data: dict[str, Any]) -> None:
        """The state says it all."""

    def publish_figures(self, figures: dict[str, Any]) -> None:
        """The state says it all."""
