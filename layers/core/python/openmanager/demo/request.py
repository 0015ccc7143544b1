"""What starts a run, as a request says it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from openmanager.demo.fleet import FEWEST, MOST
from openmanager.demo.runs import LONGEST_MIN, PAST_MIN


class StartRun(BaseModel):
    """A run of the demo fleet."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"scenario": "memory_leak", "minutes": 60}})

    scenario: Literal["normal", "spike", "memory_leak", "ddos", "performance_degradation", "disk_full"] = "normal"
    servers: int = Field(default=12, ge=FEWEST, le=MOST)
    minutes: int = Field(default=30, ge=5, le=LONGEST_MIN, description="until it ends by itself")
    seed: int = Field(default=1, ge=0, lt=1 << 32, description="decides who, when and how fast")
    speed: float | None = Field(default=None, ge=0.1, le=12, description="1: an hour for the story; null: the minutes")
    past: int = Field(default=PAST_MIN, ge=0, le=PAST_MIN, description="ordinary minutes that come before")
