"""Ends a process whose event loop stands still: what blocks it cannot be cancelled, and no lease is extended."""

import asyncio
import faulthandler
import os
import threading

#: Looks at the loop, of which all must find that it stood still. A process that was frozen itself, or had to wait for
#: the processor, missed as many looks as its loop did.
LOOKS = 8

#: Limits after which the process is ended that cannot even look: what blocks it keeps the interpreter to itself.
SEIZED = 10


class Guard:
    """Ends this process, telling every thread's line, should its loop stand still for `limit` seconds."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._moved = threading.Event()
        self._over = threading.Event()

    async def run(self) -> None:
        """Show the guard that the loop moves, until cancelled."""
        self._over.clear()
        guard = threading.Thread(target=self._look, name="guard", daemon=True)
        guard.start()
        try:
            while True:
                self._moved.set()
                await asyncio.sleep(self._limit / LOOKS / 2)
        finally:
            self._over.set()
            guard.join()

    def _look(self) -> None:
        still = 0
        while not self._over.wait(self._limit / LOOKS):
            faulthandler.dump_traceback_later(self._limit * SEIZED, exit=True)
            still = 0 if self._moved.is_set() else still + 1
            self._moved.clear()
            if still == LOOKS:
                faulthandler.dump_traceback()
                os._exit(1)
        faulthandler.cancel_dump_traceback_later()
