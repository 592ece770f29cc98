"""A self-hosted receiver between AI media providers and your code.

These names are what a handler is written against; they stay stable.
"""

from .config import Secret
from .context import Context
from .errors import AddressRefused, GiveUp, ProviderError, Retry
from .events import Event, JobError, Output
from .files import Files, Part
from .registry import configurable, handler
from .signatures import Signer

__all__ = [
    "AddressRefused",
    "Context",
    "Event",
    "Files",
    "GiveUp",
    "JobError",
    "Output",
    "Part",
    "ProviderError",
    "Retry",
    "Secret",
    "Signer",
    "configurable",
    "handler",
]
__version__ = "0.1.0"
