"""Becomes a program of the user's, with its limits set: run by file, in the new process, before that program.

python -I -S _start.py MEMORY SECONDS PROGRAM ARGUMENT…

MEMORY is in bytes, SECONDS are of processor time, 0 means no limit; the first ARGUMENT is the program's name.
"""

import ctypes
import os
import resource
import signal
import sys

#: Try again: the program is not there any more, in the middle of a deploy perhaps.
_AGAIN = 75
#: From Linux's prctl.h: the signal to get when the parent dies.
_PR_SET_PDEATHSIG = 1


def _limit(kind: int, wanted: int, more: int = 0) -> None:
    hard = resource.getrlimit(kind)[1]
    bounds = [bound if hard == resource.RLIM_INFINITY else min(bound, hard) for bound in (wanted, wanted + more)]
    resource.setrlimit(kind, (bounds[0], bounds[1]))


def _start(memory: int, seconds: int, program: str, arguments: list[str]) -> None:
    if sys.platform == "linux":  # a worker that is killed outright cannot end its programs itself
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _limit(resource.RLIMIT_CORE, 0)  # what is in its memory, secrets too, is not left on the disk
    if seconds:
        _limit(resource.RLIMIT_CPU, seconds, more=1)
    if memory:
        _limit(resource.RLIMIT_AS, memory)
    os.execv(program, arguments)  # noqa: S606 - no shell is what is wanted


if __name__ == "__main__":
    try:
        _start(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    except OSError as error:
        print(f"{sys.argv[3]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - it is kept with the attempt
        sys.exit(_AGAIN)
