"""Two versions of the schema on one database, and of the receiver: the present one, and one with a revision more."""

import asyncio
import os
from pathlib import Path
from unittest.mock import patch

from alembic.config import Config
from sqlalchemy import Connection

from receiver.store import Store, migrations

from .outcome import Outcome
from .processes import until
from .rig import Rig

#: The revision more, and what a version that knows it runs before anything else.
NEXT = "9000"
NEWER = f"""
from receiver.store import migrations
migrations.VERSIONS.append("{NEXT}")
"""

_known = migrations.settings_of


def settings_of(connection: Connection) -> Config:
    """Return Alembic's configuration with the revision more."""
    config = _known(connection)
    own = Path(migrations.__file__).parent / "versions"
    config.set_main_option("version_locations", os.pathsep.join(map(str, (own, Path(__file__).parent / "newer"))))
    config.set_main_option("path_separator", "os")
    return config


def go_ahead(url: str) -> None:
    """Bring a database to the revision more, as the next version's `receiver migrate` would."""

    async def work() -> None:
        store = Store(url)
        await store.migrate()
        await store.close()

    versions = [*migrations.VERSIONS, NEXT]
    with patch.multiple(migrations, VERSIONS=versions, settings_of=settings_of):
        asyncio.run(work())


def change(rig: Rig, *, times: int) -> Outcome:
    """Bring the database ahead under load, then restart one by one: the old version works on, and starts no more."""
    [old], [worker, *others] = rig.fleet(workers=1 + times)
    new, wrong = rig.web("--no-dispatch", first=NEWER), []
    with rig.sending(old, new) as sender:
        rig.more_effects(5)
        go_ahead(rig.url)
        rig.look()
        sender.more(10)
        rig.more_effects(10)
        wrong += [] if old.answers() else ["the old door is not ready any more: it would get no deliveries"]
        new.start().ready()
        rig.worker(first=NEWER).start()
        for process in (old, worker, *others):
            wrong += [f"{process.log.stem} ended with {code}" for code in (process.end(),) if code]
            rig.more_effects(5)
        until(lambda: worker.start().wait() == 2, "the old version refuses to start", patience=60)
        wrong += [] if worker.said("newer than this version") else ["the old version does not say why it refuses"]
    rig.settle()
    verdict = rig.verdict().with_violations(wrong)
    return Outcome(fault="schema changed under load", engine=rig.engine, times=1, verdict=verdict)
