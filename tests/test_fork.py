"""A worker that is there before its door has begun anything."""

import subprocess
import sys

import pytest

BEGIN = """
import os, sys
from receiver.fork import Child, Fork
"""


def told(program: str) -> list[str]:
    """Run a program to the end of all its processes: what each of them printed, in any order."""
    ran = subprocess.run(
        [sys.executable, "-c", BEGIN + program], capture_output=True, text=True, timeout=30, check=True
    )
    return sorted(ran.stdout.split("\n")[:-1])


def test_a_fork_works_under_the_name_that_it_is_let_go_with_and_its_door_hears_how_it_ended():
    program = """
import asyncio

async def door(fork):
    fork.watch()
    waker = await fork.line.waker()
    waker.write(b"a name\\n")
    code = await fork.wait()
    print("ended", code, fork.returncode, flush=True)

made = Fork.make()
if isinstance(made, Child):
    print(made.wait(), flush=True)
    os._exit(7)
asyncio.run(door(made))
"""
    assert told(program) == ["a name", "ended 7 7"]


def test_a_fork_that_is_killed_is_told_of_as_any_process():
    program = """
import asyncio

async def door(fork):
    fork.watch()
    fork.kill()
    print("ended", await fork.wait(), flush=True)

made = Fork.make()
if isinstance(made, Child):
    made.wait()
    os._exit(0)
asyncio.run(door(made))
"""
    assert told(program) == ["ended -9"]


def test_a_fork_ends_with_a_door_that_never_let_it_go():
    program = """
made = Fork.make()
print(made.wait() if isinstance(made, Child) else "the door gives up", flush=True)
"""
    assert told(program) == ["None", "the door gives up"]


@pytest.mark.parametrize("way", ["del os.pidfd_open", "os.pidfd_open = lambda pid: os.stat('/nowhere')"])
def test_where_a_process_cannot_be_watched_there_is_no_fork_and_nothing_stays_open(way):
    program = f"""
{way}
before = os.listdir("/dev/fd")
made = Fork.make()
if isinstance(made, Child):
    made.wait()
    os._exit(0)
print(made, os.listdir("/dev/fd") == before)
"""
    assert told(program) == ["None True"]


def test_a_fork_stays_when_its_door_is_interrupted_from_the_terminal():
    program = """
made = Fork.make()
if isinstance(made, Child):
    print("its own session", os.getsid(0) == os.getpid(), flush=True)
    os._exit(0)
os.waitpid(made.pid, 0)
"""
    assert told(program) == ["its own session True"]
