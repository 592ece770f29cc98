"""The webhooks of this receiver at a provider: register, compare, replace, remove; and keep their secrets."""

from .inspector import Inspector
from .ownership import check_url
from .registrar import LAST_DELIVERIES, OVERLAP, Registrar
from .report import Change, Finding

__all__ = ["LAST_DELIVERIES", "OVERLAP", "Change", "Finding", "Inspector", "Registrar", "check_url"]
