"""What a worker deletes by itself."""

import asyncio
import sqlite3
from contextlib import closing

from receiver.store import Refusal, Store

from .conftest import Server, query, until


def test_a_worker_deletes_what_is_older_than_receiver_toml_says(tmp_path):
    async def fill():
        store = Store(f"sqlite:///{tmp_path / 'receiver.db'}")
        await store.migrate()
        about = {"source": "x", "reason": "wrong-signature", "status": 401, "headers": "", "body": b"", "size": 0}
        await store.events.add([], [Refusal(received_at=0, **about), Refusal(received_at=0, **about)])
        await store.close()

    asyncio.run(fill())
    with closing(sqlite3.connect(tmp_path / "receiver.db")) as connection:
        # Ids tell when: this one is as old as can be.
        connection.execute("UPDATE deliveries SET id = 'dlv_0' WHERE id = (SELECT min(id) FROM deliveries)")
        connection.commit()
    (tmp_path / "receiver.toml").write_text('[retention]\nrefused = "1d"\n')
    with Server(tmp_path).ready():
        until(lambda: query(tmp_path, "SELECT count(*) FROM deliveries") == [(1,)], "the old one is gone")
    assert query(tmp_path, "SELECT count(*) FROM deliveries WHERE id = 'dlv_0'") == [(0,)]
