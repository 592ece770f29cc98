"""What is asked and answered about webhooks registered at providers."""

from pydantic import BaseModel

from .words import Next


class EndpointRow(BaseModel):
    """A webhook registered at a provider. `heard_at` is of its source's last trusted delivery."""

    id: str
    source: str
    url: str
    events: list[str]
    description: str | None
    created_at: float
    secret_last4: str | None
    heard_at: float | None


class EndpointsAnswer(BaseModel):
    """All registered webhooks."""

    endpoints: list[EndpointRow]
    next: Next
