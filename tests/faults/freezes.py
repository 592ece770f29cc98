"""Workers that stand still for longer than their lease, and then go on as if nothing had been."""

import signal

from .handlers import FREEZING
from .processes import until
from .rig import LEASE, Outcome, Rig
