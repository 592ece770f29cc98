"""What is asked and answered about webhooks registered at providers."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from .words import Asked, Next, Word

_FORCE = "Also if this receiver did not register it."


class EndpointBody(Asked):
    """At which provider an endpoint is."""

    source: Word


class RegisterBody(EndpointBody):
    """What to register; all events of the source that are known if none is named."""

    url: Annotated[str, Field(min_length=1, max_length=2000, description="https://YOUR-HOST/webhooks/SOURCE")]
    events: Annotated[list[Word], Field(min_length=1, max_length=200)] | None = None
    force: bool = Field(False, description="Replace an endpoint for this URL that others made.")


class DeleteBody(EndpointBody):
    """What to delete."""

    force: bool = Field(False, description=_FORCE)


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
    compared_at: float | None = Field(description="When its provider last told how it has it.")
    drift: Literal["missing", "events", "secret", "foreign"] | None = Field(description="As of then.")
    drift_text: str | None
    drifted_at: float | None = Field(description="Since when that was seen.")


class EndpointsAnswer(BaseModel):
    """All registered webhooks."""

    endpoints: list[EndpointRow]
    next: Next


class FindingRow(BaseModel):
    """An endpoint as its provider has it, and in what it is not as it should be."""

    source: str
    id: str | None = Field(description="None for a URL that has no endpoint.")
    url: str
    drift: Literal["missing", "events", "secret", "foreign"] | None
    text: str


class FindingsAnswer(BaseModel):
    """What a provider has."""

    findings: list[FindingRow]
    next: Next


class ChangeAnswer(BaseModel):
    """What was done at a provider. No secret is in it."""

    did: Literal["nothing", "created", "replaced", "rotated", "deleted"]
    id: str = Field(description="Of the endpoint that is registered now, or of the one that was deleted.")
    text: str
    remarks: list[str] = Field(description="What was found, or could not be done, besides.")
