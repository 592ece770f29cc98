"""Handlers to put under fault, as the text of the file that a worker loads.

Each writes what it does to the file `EFFECTS`, one line at a time, appended: that is the effect to count.
"""

WITNESS = """
import asyncio, json, os, resource, signal, threading, time
from receiver import Retry, handler

_url = os.environ["RECEIVER_DATABASE_URL"]
_effects = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

def note(what, event, context, **more):
    row = {
        "what": what, "event": event.id, "job": event.job_id, "attempt": context.attempt, "pid": os.getpid(),
        "received_at": event.received_at, "at": time.clock_gettime(time.CLOCK_REALTIME),
    }
    line, end = json.dumps(row | more).encode() + b"\\n", os.fstat(_effects).st_size
    if os.write(_effects, line) < len(line):  # a disk that is full takes a part
        os.ftruncate(_effects, end)
        raise OSError("the disk is full")

_asking = []

async def is_stored(event):
    "Whether somebody with a connection of their own, who sees what is committed, finds it; None if there is no answer."
    try:
        if not _asking:
            _asking.append(await _connected())
        return bool(await _asking[0](event.id))
    except Exception:
        _asking.clear()
        return None

async def _connected():
    if _url.startswith("sqlite"):
        import sqlite3
        path = _url.removeprefix("sqlite:///")
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        async def ask(id):
            return database.execute("SELECT 1 FROM events WHERE id = ?", (id,)).fetchone()
    else:
        import asyncpg
        pool = await asyncpg.create_pool(_url, min_size=0, max_size=1, timeout=2)
        async def ask(id):
            return await pool.fetchval("SELECT 1 FROM events WHERE id = $1", id, timeout=2)
    return ask
"""

#: Takes a moment before, in and after the step that must happen once, so that faults hit each of them.
EFFECT = (
    WITNESS
    + """
@handler("*", retries=50, timeout=5)
async def effect(event, context):
    note("start", event, context, stored=await is_stored(event))
    await asyncio.sleep(0.02)
    async with context.once("effect") as first:
        if first:
            note("effect", event, context)
            time.sleep(0.002)  # not awaited: a step that is cut off by its time limit may be made again
    await asyncio.sleep(0.02)
"""
)

#: Freezes its own process in the middle of the first attempt on the jobs that end in 7.
FREEZING = (
    WITNESS
    + """
import sqlite3

def idle():
    # Frozen with SQLite's write lock it would freeze everybody: another test, and not this one.
    if not _url.startswith("sqlite"):
        return True
    path = _url.removeprefix("sqlite:///")
    database = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
        return True
    except sqlite3.OperationalError:
        return False
    finally:
        database.close()

@handler("*", retries=50)
async def effect(event, context):
    note("start", event, context, stored=await is_stored(event))
    if event.job_id.endswith("7") and context.attempt == 1:
        while not idle():
            await asyncio.sleep(0.001)
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
    note("start", event, context, stored=await is_stored(event))
    if context.attempt == 1:
        raise Retry("once more", after=1)
    async with context.once("effect") as first:
        if first:
            note("effect", event, context)
"""
)

#: One handler that behaves, for all events, and one that misbehaves for each tool in `deliveries.BAD`.
MISBEHAVING = (
    EFFECT
    + """
@handler("*", tool="RAISES", retries=1, timeout=0.3)
async def raises(event, context):
    raise ValueError("no luck")

@handler("*", tool="HANGS", retries=1, timeout=0.3)
async def hangs(event, context):
    await asyncio.Event().wait()

@handler("*", tool="HANGS_IN_A_THREAD", retries=1, timeout=0.3)
def hangs_in_a_thread(event, context):
    threading.Event().wait()

@handler("*", tool="EATS_MEMORY", retries=1, timeout=0.3)
async def eats_memory(event, context):
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**26, resource.RLIM_INFINITY))
    try:
        eaten = [bytearray(2**20) for _ in range(2**16)]
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

@handler("*", tool="LEAVES", retries=1, timeout=0.3)
async def leaves(event, context):
    raise SystemExit("I leave")

@handler("*", tool="RETURNS_JUNK", retries=50, timeout=5)
async def returns_junk(event, context):
    return {"not": object()}

@handler("*", tool="EXITS", retries=1, timeout=0.3)
async def exits(event, context):
    os._exit(3)

@handler("*", tool="BLOCKS", retries=1, timeout=0.3)
async def blocks(event, context):
    threading.Event().wait()
"""
)
