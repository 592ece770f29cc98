"""What is asked and answered about signing secrets. None is ever answered: they go in, and stay."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr

from .words import Asked, Moment, Next, Word


class SecretsQuery(Asked):
    """Whose secrets."""

    source: Word | None = None


class SecretBody(Asked):
    """A signing secret to store."""

    source: Word
    secret: Annotated[SecretStr, Field(max_length=2000)]
    valid_from: Moment | None = Field(None, description="When it begins to count; now, if nothing is said.")
    valid_until: Moment | None = Field(None, description="When it ends; never, if nothing is said.")


class RetireBody(Asked):
    """When a secret ends."""

    at: Moment | None = Field(None, description="Now, if nothing is said.")


class SecretRow(BaseModel):
    """A signing secret: by its last four characters, never itself."""

    id: str | None = Field(description="None for one that stands in a variable.")
    source: str
    last4: str
    state: Literal["counts", "later", "over"]
    valid_from: float | None
    valid_until: float | None
    place: str = Field(description="The variable it stands in, the endpoint it belongs to, or `stored`.")


class SecretsAnswer(BaseModel):
    """All signing secrets, those in variables first."""

    secrets: list[SecretRow]
    next: Next


class SecretAnswer(SecretRow):
    """What was done about a secret. `others` is how many other secrets of its source count when it ends."""

    did: Literal["nothing", "stored", "retired"]
    others: int
