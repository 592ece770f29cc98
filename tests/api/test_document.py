"""The OpenAPI document tells the truth: schemathesis asks what it promises, over a socket, and finds nothing wrong."""

import asyncio
import contextlib
import itertools
import threading
from collections import Counter

import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks
from starlette.applications import Starlette

from receiver.access import Tries
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
    hours = itertools.count()  # between two wrong tokens, so that none is one too many
    tries = Tries(lambda: 3600.0 * next(hours))
    return Api(store=store, sources=find_sources(), settings=settings, tries=tries)


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


@contextlib.contextmanager
def serving(url, files):
    """The API on a port, over a store with one of everything: its URL, a session, and the ids."""
    ids = asyncio.run(fill(Store(url), files))
    store = Store(url)

    @contextlib.asynccontextmanager
    async def closing(_app):
        yield
        await store.close()

    app = Starlette(lifespan=closing)
    app.router.default = api_over(store, files)
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


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    with serving(f"sqlite:///{folder / 'receiver.db'}", folder / "files") as made:
        yield made


@pytest.fixture(scope="module")
def served_by_postgresql(tmp_path_factory, postgresql_url):
    with serving(postgresql_url, tmp_path_factory.mktemp("api") / "files") as made:
        yield made


#: Calls whose bodies name a source.
ABOUT_SOURCES = ("jobs", "jobs/track", "callbacks", "endpoints", "endpoints/check", "secrets")
UNDOCUMENTED = {
    *(f"POST {PREFIX}/{path}" for path in ABOUT_SOURCES),
    *(f"POST {PREFIX}/endpoints/{{id}}/{what}" for what in ("rotate", "delete")),
}

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


DOCUMENT = api_over(Store("sqlite:///none")).document

#: Calls of which it is proven that they need the token: each time that costs two requests more.
PROVEN = set()

#: How often each call about one thing was made.
ASKED = Counter()

DRAWN = {
    "deadline": None,
    "derandomize": True,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


def ask(case, served):
    """Make a call with what was drawn, and if it is about one thing, once more about one that is there."""
    url, session, ids = served
    # Which sources and endpoints there are, and what they take, no document knows.
    excluded = [checks.positive_data_acceptance] if case.operation.label in UNDOCUMENTED else []

    def made():
        known = [checks.ignored_auth] if case.operation.label in PROVEN else []
        answer = case.call_and_validate(
            base_url=url, session=session, headers=HEADERS, excluded_checks=[*excluded, *known]
        )
        if answer.status_code < 300:
            PROVEN.add(case.operation.label)

    made()
    if "id" in case.path_parameters:
        case.path_parameters["id"] = ids[case.operation.path.split("/")[3]]
        # Of what was drawn often only the id differed.
        ASKED[said := repr((url, case.method, case.path, case.query, case.headers, case.body))] += 1
        if ASKED[said] <= 2:
            made()


promised = schemathesis.openapi.from_dict(DOCUMENT)


# To each call belong some fifty cases at the edges of what the document says, beside the examples that are drawn.
@promised.parametrize()
@settings(max_examples=6, **DRAWN)
def test_every_call_answers_as_promised(case, served):
    ask(case, served)


drawn = schemathesis.openapi.from_dict(DOCUMENT)
drawn.config.phases.coverage.enabled = False


@drawn.parametrize()
@settings(max_examples=3, **DRAWN)
def test_every_call_answers_as_promised_over_postgresql(case, served_by_postgresql):
    ask(case, served_by_postgresql)
