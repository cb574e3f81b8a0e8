"""From the config's tables to what the packages want to know: lines, the broker, and notes about lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.gateway.line_settings import AnonymousLogin, LineSettings
from agent.mqtt.broker import LinkSettings, MqttVersion
from agent.settings.actions import plan_of, target_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

    from agent.settings.line import LineConfig
    from agent.settings.model import Config
    from agent.settings.mqtt import MqttConfig


def line_settings(name: str, line: LineConfig) -> LineSettings:
    """A line as the gateway package wants it."""
    anonymous = line.anonymous_login
    return LineSettings(
        name=name,
        url=line.url,
        dialect=line.dialect,
        login=line.login,
        password=_plain(line.password),
        login_token=_plain(line.token),
        anonymous=None
        if anonymous is None
        else AnonymousLogin(
            target_id=anonymous.target_id,
            target_type=anonymous.target_type,
            target_version_id=anonymous.target_version_id,
            target_params=anonymous.target_params,
        ),
        ca_file=str(line.ca_file) if line.ca_file else None,
        rtc_ip=line.rtcIp,
        rtc_port=line.rtcPort,
        skip_last_voice_sdk_id=line.skipLastVoiceSdkId,
        max_reconnect_attempts=line.maxReconnectAttempts,
        keep_connection_alive_on_socket_close=line.keepConnectionAliveOnSocketClose,
        early_sdp_answer=line.earlySdpAnswer,
        push_when_active=line.pushWhenActive,
        user_variables=line.userVariables or {},
        needs_token=line.token_source is not None,
    )


def trickle_notes(config: Config) -> Iterator[str]:
    """One sentence for each line whose gateway takes no trickled candidates although the config asks for them."""
    asked = {
        config.line_of(name)
        for name, target in config.targets.items()
        if target.trickleIce and "trickleIce" in target.model_fields_set
    }
    asked_of_all = config.call_defaults.trickleIce and "trickleIce" in config.call_defaults.model_fields_set
    for name, line in config.lines.items():
        if line.dialect == "verto" and (asked_of_all or name in asked):
            yield f"line {name}: trickleIce is off, FreeSWITCH takes all candidates in one description"


def needed_lines(config: Config) -> set[str]:
    """The lines that the buttons call by; without such buttons the one that calls go by."""
    actions = [action for button in config.buttons.values() for action in (button.press, button.hold, button.double)]
    targets = {target_of(action) for action in actions}
    targets |= {target for action in actions if (plan := plan_of(action)) for target in config.plans[plan].targets}
    return {config.line_of(target) for target in targets if target in config.targets} or {config.default_line}


def mqtt_settings(mqtt: MqttConfig, client_id: str) -> LinkSettings:
    """The broker as the MQTT package wants it."""
    versions = {5: MqttVersion.V5, "3.1.1": MqttVersion.V311, "auto": None}
    return LinkSettings(
        host=mqtt.host,
        port=mqtt.port,
        client_id=client_id,
        username=mqtt.username or "",
        password=_plain(mqtt.password) or "",
        tls=mqtt.tls,
        ca_file=str(mqtt.ca_file or ""),
        cert_file=str(mqtt.cert_file or ""),
        key_file=str(mqtt.key_file or ""),
        keepalive_s=mqtt.keepalive_s,
        version=versions[mqtt.version],
    )


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
