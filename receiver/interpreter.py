"""How a process of ours uses its interpreter: one event loop, beside a thread or two that talk to the store."""

import asyncio
import gc
import sys

import uvloop

#: Seconds after which a busy event loop gives way to a thread that waits for the interpreter's lock. It is 5 ms if
#: nothing is said: each commit to SQLite waited twice for that, in a thread that had 0.1 ms to do.
PATIENCE = 0.0002


def runner() -> asyncio.Runner:
    """Return what runs this process's event loop."""
    sys.setswitchinterval(PATIENCE)
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def started() -> None:
    """Note that all is here that stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
