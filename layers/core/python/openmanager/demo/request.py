"""What starts a run, as a request says it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from openmanager.demo.fleet import FEWEST, MOST
from openmanager.demo.runs import LONGEST_MIN, PAST_MIN
from openmanager.errors import InvalidInput
from openmanager.whole import whole

Whole = Annotated[int, BeforeValidator(lambda value: value if whole(value) is None else whole(value))]


class StartRun(BaseModel):
    """A run of the demo fleet."""

    # Strict, or `true` would be a number of servers.
    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"scenario": "memory_leak", "minutes": 60}}
    )

    scenario: Literal["normal", "spike", "memory_leak", "ddos", "performance_degradation", "disk_full"] = "normal"
    servers: Whole = Field(default=12, ge=FEWEST, le=MOST)
    minutes: Whole = Field(default=30, ge=5, le=LONGEST_MIN, description="until it ends by itself")
    seed: Whole = Field(default=1, ge=0, lt=1 << 32, description="decides who, when and how fast")
    speed: float | None = Field(default=None, ge=0.1, le=12, description="1: an hour for the story; null: the minutes")
    past: Whole = Field(default=PAST_MIN, ge=0, le=PAST_MIN, description="ordinary minutes that come before")


# Read by itself, whatever type a sender gives the body: curl calls JSON a form unless it is told.
DOCUMENTED: dict[str, Any] = {
    "requestBody": {"content": {"application/json": {"schema": StartRun.model_json_schema()}}},
}


def read_start(body: bytes) -> dict[str, Any]:
    """The arguments of `runs.start`, all of them by default where the body is empty. Raises InvalidInput."""
    try:
        return StartRun.model_validate_json(body or b"{}").model_dump()
    except ValidationError as fault:
        first = fault.errors()[0]
        raise InvalidInput(".".join(map(str, first["loc"])) or "body", first["msg"]) from None
