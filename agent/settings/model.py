"""`Config`: the whole of `callpoint.toml`, checked."""

from typing import Annotated

from pydantic import Field

from agent.settings.audio import AudioConfig
from agent.settings.base import Hint, Name, PlainText, SettingsModel
from agent.settings.buttons import BoardConfig, ButtonConfig
from agent.settings.call_options import CallOptions
from agent.settings.incoming import IncomingConfig
from agent.settings.inputs import InputConfig
from agent.settings.line import LineConfig
from agent.settings.mqtt import MqttConfig
from agent.settings.outputs import LampConfig, Relays, SounderConfig
from agent.settings.plans import PlanConfig
from agent.settings.prompts import PromptsConfig, WavFile
from agent.settings.retry_limit import RetryLimitConfig
from agent.settings.self_test import SelfTestConfig
from agent.settings.service import ServiceConfig

DEVICE_ID_HINT = 'a short name of a-z, 0-9, "_" and "-"'


class DeviceConfig(SettingsModel):
    """This device."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$"), Hint(DEVICE_ID_HINT)] = Field(
        description=f"The device's id in MQTT topics: {DEVICE_ID_HINT}."
    )
    name: PlainText = Field(default="", description="The device's name for people; the id when empty.")


class TargetConfig(CallOptions):
    """One destination: call options of its own, over those of `call_defaults`."""

    line: Name | None = Field(
        default=None, description="Name of the line to call by; the first line in the file when unset."
    )
    announcement: WavFile | None = Field(
        default=None,
        description="Played to the far end of this target when it answers, instead of `announcement` of `[prompts]`.",
    )


class Config(SettingsModel):
    """The effective config. `lines` keeps the order of the file; the first line is the one used by default."""

    device: DeviceConfig = Field(description="This device.")
    lines: dict[Name, LineConfig] = Field(min_length=1, description="Logins at gateways, each under a name of yours.")
    call_defaults: CallOptions = Field(default=CallOptions(), description="Options of every call from this device.")
    targets: dict[Name, TargetConfig] = Field(
        default_factory=dict, description="Destinations, each under a name of yours."
    )
    plans: dict[Name, PlanConfig] = Field(
        default_factory=dict, description="Whom to ring in which order, each plan under a name of yours."
    )
    incoming: IncomingConfig = Field(default=IncomingConfig(), description="Calls from outside.")
    retry_limit: RetryLimitConfig = Field(
        default=RetryLimitConfig(), description="How often calls with the same `retryBucketId` may be placed."
    )
    buttons: dict[Name, ButtonConfig] = Field(default_factory=dict, description="Buttons, each under a name of yours.")
    inputs: dict[Name, InputConfig] = Field(
        default_factory=dict, description="Privacy switches and door contacts, each under a name of yours."
    )
    lamps: dict[Name, LampConfig] = Field(default_factory=dict, description="Lamps, each under a name of yours.")
    relays: Relays = Field(default_factory=dict, description="Relays, each under a name of yours.")
    sounders: dict[Name, SounderConfig] = Field(
        default_factory=dict, description="Sounders, each under a name of yours."
    )
    audio: AudioConfig = Field(default=AudioConfig(), description="Sound.")
    prompts: PromptsConfig = Field(default=PromptsConfig(), description="Recordings that are played in calls.")
    self_test: SelfTestConfig = Field(
        default=SelfTestConfig(), description="The speaker plays, and the microphone must hear it."
    )
    board: BoardConfig = Field(default=BoardConfig(), description="Hardware.")
    mqtt: MqttConfig | None = Field(default=None, description="MQTT broker. Without this table there is no MQTT.")
    service: ServiceConfig = Field(default=ServiceConfig(), description="The daemon as a service.")

    @property
    def default_line(self) -> str:
        """Name of the line for calls that name none."""
        return next(iter(self.lines))

    @property
    def mqtt_client_id(self) -> str:
        """The MQTT client id, set or made from the device's id."""
        return (self.mqtt.client_id if self.mqtt else None) or f"callpoint-{self.device.id}"

    def line_of(self, target: str) -> str:
        """Name of the line that the target is called by. Raises `KeyError` for an unknown target."""
        return self.targets[target].line or self.default_line
