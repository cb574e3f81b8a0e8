"""How often calls of one `retryBucketId` may be placed."""

from pydantic import Field

from agent.settings.base import SettingsModel


class RetryLimitConfig(SettingsModel):
    """The limit of calls with the same `retryBucketId`; others are not limited."""

    calls: int = Field(default=5, ge=1, le=1000, description="So many calls of one bucket are placed ...")
    per_s: float = Field(default=60.0, gt=0, le=86_400, description="... within so many seconds; more are refused.")
