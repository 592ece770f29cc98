"""An alarm reaches people by what `receiver.toml` says, and nothing else."""

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from sqlalchemy import delete

from receiver.store import Alarm, Endpoint, Store
from receiver.store.tables import events

from .conftest import Process, query, until


def test_a_worker_tells_of_a_source_that_is_silent_and_of_an_alarm_that_is_over(tmp_path):
    messages = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            messages.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    url = f"sqlite:///{tmp_path / 'receiver.db'}"

    async def prepare():
        store = Store(url)
        await store.migrate()
        endpoint = Endpoint(
            source="videogen", id="1", url="https://x", events=("*",), description=None, created_at=time.time() - 7200
        )
        await store.endpoints.add(endpoint, sealed="s", last4="1234")
        now = time.time()
        calm = {"raised_at": now - 3600, "calm_since": now - 1800, "value": 9, "text": "9 runs of mail failed"}
        await store.alarms.keep(
            raised=[(Alarm(watch="failing", about="mail", **calm), b"{}")], resolved=[], standing=[]
        )
        async with store.database.write() as connection:
            await connection.execute(delete(events))  # that it began was told then
        await store.close()

    asyncio.run(prepare())
    (tmp_path / "receiver.toml").write_text(
        '[[handlers]]\nuse = "notify"\non = "alarm.*"\nto = { env = "PAGER" }\nburst = 0\n'
        '[[alarms]]\nwatch = "silent"\nabout = "videogen"\nlimit = 3600\n'
    )
    server = HTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        pager = f"json://127.0.0.1:{server.server_port}"
        with Process(tmp_path, "worker", RECEIVER_DATABASE_URL=url, RECEIVER_HANDLERS="", PAGER=pager):
            done = "SELECT 1 FROM runs WHERE handler = 'notify' AND state = 'done'"
            # Apprise takes its time to be imported.
            until(lambda: len(query(tmp_path, done)) == 2, "both are told", patience=60)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    told = {line for message in messages for line in message["message"].splitlines()}
    assert told == {"videogen has not called for 2 h", "over after 60 min: 9 runs of mail failed"}
    assert query(tmp_path, "SELECT watch, about FROM alarms") == [("silent", "videogen")]
