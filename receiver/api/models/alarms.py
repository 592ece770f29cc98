"""What is asked and answered about alarms."""

from typing import Literal

from pydantic import BaseModel, Field

from .events import EventCursor
from .words import Asked, Limit, Moment, Next


class AlarmsQuery(Asked):
    """A page of alarms. All that are on fit on one."""

    state: Literal["on", "over"] = "on"
    since: Moment | None = Field(None, description="Raised then or later; of those that are over, resolved.")
    cursor: EventCursor | None = None
    limit: Limit = 50


class AlarmRow(BaseModel):
    """An alarm. `event_id` is of the event that told its end, with which `resolved_at` came."""

    watch: str
    about: str
    state: Literal["on", "over"]
    value: float
    text: str
    raised_at: float
    resolved_at: float | None
    event_id: str | None


class AlarmsAnswer(BaseModel):
    """Those that are on, oldest first; those that are over, newest first."""

    alarms: list[AlarmRow]
    next: Next
