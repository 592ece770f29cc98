"""Handlers to put under fault, as the text of the file that a worker loads.

Each writes what it does to the file `EFFECTS`, one line at a time, appended: that is the effect to count.
"""

WITNESS = """
import asyncio, ctypes, json, os, resource, signal, threading, time
from receiver import Retry, handler

_effects = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

def note(what, event, context):
    row = {
        "what": what, "event": event.id, "job": event.job_id, "attempt": context.attempt, "pid": os.getpid(),
        "received_at": event.received_at, "at": time.clock_gettime(time.CLOCK_REALTIME),
    }
    os.write(_effects, json.dumps(row).encode() + b"\\n")
"""

#: Takes a moment before, in and after the step that must happen once, so that faults hit each of them.
EFFECT = (
    WITNESS
    + """
@handler("*", retries=50)
async def effect(event, context):
    note("start", event, context)
    await asyncio.sleep(0.005)
    async with context.once("effect") as first:
        if first:
            note("effect", event, context)
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.005)
"""
)

#: Freezes its process in the middle of the first attempt on each event whose job is named in `FREEZE`.
FREEZING = (
    WITNESS
    + """
@handler("*", retries=50)
async def effect(event, context):
    note("start", event, context)
    if event.job_id in os.environ["FREEZE"].split(",") and context.attempt == 1:
        note("freeze", event, context)
        os.kill(os.getpid(), signal.SIGSTOP)
    async with context.once("effect") as first:
        if first:
            note("effect", event, context)
"""
)

#: The process lives by a clock that is off by the seconds in the file `CLOCK`, whenever that says something else.
SKEWED = """
import os, time

_true = time.time

def _skewed():
    with open(os.environ["CLOCK"]) as file:
        return _true() + float(file.read() or 0)

time.time = _skewed
"""

#: The first attempt on every event wants another, soon.
RETRYING = (
    WITNESS
    + """
@handler("*", retries=50)
async def effect(event, context):
    note("start", event, context)
    if context.attempt == 1:
        raise Retry("once more", after=1)
    async with context.once("effect") as first:
        if first:
            note("effect", event, context)
"""
)

#: One well-behaved handler for all events, and one bad one for each way to misbehave, by the number of the job.
MISBEHAVING = (
    EFFECT
    + """
BAD = ("raises", "exits", "hangs", "hangs_in_a_thread", "eats_memory", "blocks", "leaves", "returns_junk")

def bad(event, name):
    return int(event.job_id.rpartition("_")[2]) % 100 == BAD.index(name)

@handler("*", retries=1, timeout=0.3)
async def raises(event, context):
    if bad(event, "raises"):
        raise ValueError("no luck")

@handler("*", retries=1, timeout=0.3)
async def exits(event, context):
    if bad(event, "exits"):
        os._exit(3)

@handler("*", retries=1, timeout=0.3)
async def hangs(event, context):
    if bad(event, "hangs"):
        await asyncio.Event().wait()

@handler("*", retries=1, timeout=0.3)
def hangs_in_a_thread(event, context):
    if bad(event, "hangs_in_a_thread"):
        threading.Event().wait()

@handler("*", retries=1, timeout=0.3)
async def eats_memory(event, context):
    if bad(event, "eats_memory"):
        now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + 2**26, resource.RLIM_INFINITY))
        try:
            eaten = [bytearray(2**20) for _ in range(2**16)]
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

@handler("*", retries=1, timeout=0.3)
async def blocks(event, context):
    if bad(event, "blocks"):
        threading.Event().wait()

@handler("*", retries=1, timeout=0.3)
async def leaves(event, context):
    if bad(event, "leaves"):
        raise SystemExit("I leave")

@handler("*", retries=1, timeout=0.3)
async def returns_junk(event, context):
    if bad(event, "returns_junk"):
        return {"not": object()}
"""
)
