"""An alarm reaches people by what `receiver.toml` says, and nothing else."""

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from receiver.store import Endpoint, Store

from .conftest import Process, query, until


def test_a_worker_tells_of_a_source_that_is_silent(tmp_path):
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
            until(lambda: query(tmp_path, done), "told", patience=60)  # Apprise takes its time to be imported
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert [message["message"] for message in messages] == ["videogen has not called for 2 h"]
    assert query(tmp_path, "SELECT watch, about FROM alarms") == [("silent", "videogen")]
