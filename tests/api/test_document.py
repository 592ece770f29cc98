"""The OpenAPI document tells the truth: schemathesis asks what it promises, over a socket, and finds nothing wrong."""

import asyncio
import contextlib
import threading

import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks
from starlette.applications import Starlette

from receiver.api import PREFIX, Api
from receiver.files import open_files
from receiver.registry import find_sources
from receiver.settings import Settings
from receiver.store import NewJob, Refusal, Store
from receiver.vault import new_key

from .conftest import TOKEN
from .test_events import arrival, handle, reported


def api_over(store, files="files"):
    public = "https://hooks.example.com"
    settings = Settings(admin_token=TOKEN, secret_key=new_key(), public_url=public, files=str(files))
    return Api(store=store, sources=find_sources(), settings=settings)


async def fill(store, files):
    """Put one of everything into the store; return an id for each kind of path."""
    await store.migrate()
    refusal = Refusal(
        source="videogen", reason="no-signature", status=401, received_at=1.0, headers="", body=b"{", size=1
    )
    [added] = await store.events.add([arrival()], [refusal])
    await store.jobs.track(NewJob(source="videogen", tool="GENERATE_SOUND_EFFECT", job_id="job_1"))
    await handle(store)
    await store.handlers.report([reported("log")], worker="w")
    [run] = await store.runs.recent()
    [delivery] = await store.events.deliveries()
    async with open_files(str(files)).new("clip") as part:
        await part.write(b"media")
        place = await part.keep("clip.mp4", media_type="video/mp4")
    facts = {"size": 5, "sha256": part.sha256, "media_type": "video/mp4"}
    of = {"event_id": added.event_id, "handler": "download", "output_id": "1", "source": "videogen", "job_id": "job_1"}
    await store.outputs.record(**of, **facts, state="captured", place=place)
    [output] = await store.outputs.recent()
    ids = {"events": added.event_id, "runs": run["id"], "refused": delivery["id"], "jobs": "job_1", "handlers": "log"}
    ids["outputs"] = output["id"]
    ids["secrets"] = await store.endpoints.add_secret("mux", sealed="x", last4="B3zY", valid_from=1.0)
    ids["endpoints"] = "ep_1"
    await store.close()
    return ids


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The API on a port, over a store with one of everything: its URL and the ids."""
    folder = tmp_path_factory.mktemp("api")
    url = f"sqlite:///{folder / 'receiver.db'}"
    ids = asyncio.run(fill(Store(url), folder / "files"))
    store = Store(url)

    @contextlib.asynccontextmanager
    async def closing(_app):
        yield
        await store.close()

    app = Starlette(lifespan=closing)
    app.router.default = api_over(store, folder / "files")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on", ws="none"))
    started = threading.Event()
    startup = server.startup

    async def begin(*arguments, **more):
        await startup(*arguments, **more)
        started.set()

    server.startup = begin
    thread = threading.Thread(target=server.run)
    thread.start()
    started.wait(30)
    port = server.servers[0].sockets[0].getsockname()[1]
    with requests.Session() as session:  # one connection for all, and none to a proxy
        session.trust_env = False
        yield f"http://127.0.0.1:{port}", session, ids
    server.should_exit = True
    thread.join()


#: Calls whose bodies name a source.
ABOUT_SOURCES = ("jobs", "jobs/track", "callbacks", "endpoints", "endpoints/check", "secrets")
UNDOCUMENTED = {
    *(f"POST {PREFIX}/{path}" for path in ABOUT_SOURCES),
    *(f"POST {PREFIX}/endpoints/{{id}}/{what}" for what in ("rotate", "delete")),
}

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


promised = schemathesis.openapi.from_dict(api_over(Store("sqlite:///none")).document)


@promised.parametrize()
@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_call_answers_as_promised(case, served):
    url, session, ids = served
    asked = {"base_url": url, "session": session, "headers": HEADERS}
    # That a token is needed has its own test. Which sources there are, and what they take, no document knows.
    excluded = [checks.ignored_auth]
    if case.operation.label in UNDOCUMENTED:
        excluded.append(checks.positive_data_acceptance)
    case.call_and_validate(**asked, excluded_checks=excluded)
    if "id" in case.path_parameters:
        case.path_parameters["id"] = ids[case.operation.path.split("/")[3]]
        case.call_and_validate(**asked, excluded_checks=excluded)
