"""What is answered when something is wrong."""

from pydantic import BaseModel


class ProblemAnswer(BaseModel):
    """What went wrong, as in RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
