"""What is answered about the attempts of a run."""

from pydantic import BaseModel


class Attempt(BaseModel):
    """One try of a run."""

    number: int
    outcome: str
    started_at: float
    finished_at: float
    error: str | None
    note: str | None
