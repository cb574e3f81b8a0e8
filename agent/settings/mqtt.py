"""The MQTT broker: where it is, how to log in, and under which topics the device appears."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from agent.settings.base import FilledText, Hint, KeyedError, SettingsModel
from agent.settings.secret import FilePath, Secret

PORT = 1883  # IANA: mqtt
TLS_PORT = 8883  # IANA: secure-mqtt


class MqttConfig(SettingsModel):
    """The broker. Without this table the device does without MQTT."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]{1,255}$"), Hint("host name or IP address")] = Field(
        description="Host name or address of the broker."
    )
    port: int = Field(default=PORT, ge=1, le=65535, description=f"TCP port; with `tls` the default is {TLS_PORT}.")
    username: FilledText | None = Field(default=None, description="User name at the broker.")
    password: Secret | None = Field(default=None, description="Password at the broker, together with `username`.")
    prefix: Annotated[
        str,
        Field(pattern=r"^[^\x00-\x1f\x7f/+#$][^\x00-\x1f\x7f/+#]*(/[^\x00-\x1f\x7f/+#]+)*$", max_length=128),
        Hint('a topic without "+", "#" and without "/" at its ends'),
    ] = Field(default="callpoint", description="Topics begin with `<prefix>/<device id>/`.")
    tls: bool = Field(default=False, description="Encrypt the connection and check the broker's certificate.")
    ca_file: FilePath | None = Field(
        default=None, description="Certificates (PEM) to trust instead of the system's, with `tls`."
    )
    cert_file: FilePath | None = Field(
        default=None, description="The device's own certificate (PEM), with `key_file` and `tls`."
    )
    key_file: FilePath | None = Field(default=None, description="The private key (PEM) of `cert_file`.")
    keepalive_s: int = Field(default=30, ge=5, le=3600, description="Seconds of silence before the link is probed.")
    client_id: FilledText | None = Field(
        default=None, description="MQTT client id; `callpoint-<device id>` when unset."
    )
    version: Literal[5, "3.1.1", "auto"] = Field(
        default="auto", description='Protocol version: `5`, `"3.1.1"`, or `"auto"` for 5 with 3.1.1 as fallback.'
    )

    @model_validator(mode="before")
    @classmethod
    def _tls_has_its_own_port(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("tls") is True and "port" not in fields:
            return {**fields, "port": TLS_PORT}
        return fields

    @model_validator(mode="after")
    def _check_pairs(self) -> "MqttConfig":
        for key in ("ca_file", "cert_file", "key_file"):
            if getattr(self, key) is not None and not self.tls:
                raise KeyedError(key, "not used without encryption: set tls = true")
        for key, partner in (("cert_file", "key_file"), ("key_file", "cert_file"), ("username", "password")):
            if getattr(self, partner) is not None and getattr(self, key) is None:
                raise KeyedError(key, f"missing: {partner} needs a {key}")
        return self
