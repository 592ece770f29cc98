"""How the emulated providers behave, and misbehave."""

import random
from dataclasses import dataclass, fields

from receiver.errors import ConfigError

_SHARES = ("fail", "duplicates", "disorder", "loss", "wrong_signature", "outage", "limit", "garbage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """What to make happen. Shares go from 0 (never) to 1 (always); raises ConfigError for anything else."""

    seconds: float = 2.0  #: how long a job takes
    fail: float = 0.0  #: share of jobs that fail
    duplicates: float = 0.0  #: share of messages sent twice at once, under the same id
    delay: float = 0.0  #: a message waits up to so many seconds before its first delivery
    disorder: float = 0.0  #: share of messages held back until a later one is through
    loss: float = 0.0  #: share of messages never sent
    lose: str = ""  #: a tool, as events call it, whose messages are never sent
    wrong_signature: float = 0.0  #: share of messages whose first delivery is signed with a wrong key
    outage: float = 0.0  #: share of the API's answers that are server errors
    limit: float = 0.0  #: share of the API's answers that are rate limits
    garbage: float = 0.0  #: share of the API's answers that are no JSON
    url_seconds: float = 7 * 86_400  #: life of signed URLs; at 0 or less they come expired, and live after a hydrate
    retry_scale: float = 1.0  #: factor on the waits between deliveries of one message; 0.001 makes seconds of hours
    seed: int = 0  #: the same seed and the same requests give the same faults

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _SHARES and not 0 <= value <= 1:
                raise ConfigError(f"{field.name} is a share: it goes from 0 to 1")
            if field.name in ("seconds", "delay", "retry_scale") and not 0 <= value < float("inf"):
                raise ConfigError(f"{field.name} must be 0 or more")

    def dice(self, *about: object) -> random.Random:
        """Return dice that fall the same way for the same seed and subject, whatever was thrown before."""
        return random.Random("/".join(str(part) for part in (self.seed, *about)))  # noqa: S311 - not for secrets
