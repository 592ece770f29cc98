"""`receiver alarms`."""

import asyncio
import json
import os

from receiver.store import Alarm, Store

ON = Alarm(
    watch="failing", about="mail", raised_at=1793232000.0, calm_since=None, value=7, text="7 runs of mail failed"
)


def keep(*alarms):
    async def fill():
        store = Store(os.environ["RECEIVER_DATABASE_URL"])
        await store.alarms.keep(raised=[(alarm, b"{}") for alarm in alarms], resolved=[], standing=[])
        await store.close()

    asyncio.run(fill())


def test_what_is_on_is_listed_for_people_and_for_programs(run):
    keep(ON)
    told = run("alarms", "list").out
    assert "failing" in told
    assert "7 runs of mail failed" in told
    [row] = [json.loads(line) for line in run("alarms", "list", "--json").out.splitlines()]
    assert (row["watch"], row["about"], row["value"], row["raised_at"]) == ("failing", "mail", 7, ON.raised_at)


def test_where_nothing_is_wrong_it_says_so(run):
    keep()
    assert run("alarms", "list").out == "None is on.\n"
