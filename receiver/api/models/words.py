"""Words that all calls share. Times are Unix seconds."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Word = Annotated[str, Field(min_length=1, max_length=500)]
Limit = Annotated[int, Field(ge=1, le=1000)]
Next = Annotated[str | None, Field(description="Cursor of the next page; there may be one after a page without rows.")]

#: What cursors are.
AFTER = "`next` of the page before."


class Asked(BaseModel):
    """A query or a body: nothing but what is meant."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
