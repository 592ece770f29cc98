import time

import httpx
import pytest
from pydantic import SecretStr

from receiver import doctor
from receiver.doctor import examine
from receiver.settings import Provider, Settings
from receiver.store import Arrival, NewJob, Refusal, Store
from receiver.vault import new_key

from .conftest import SECRET

HOST = "https://hooks.example.com"


@pytest.fixture
def world(monkeypatch):
    """The outside: answers by path; `world["/healthz"] = 404, {}` changes one."""
    answers = {
        "/healthz": (200, {"status": "ok"}),
        "/v1/webhooks/endpoints": (200, {"endpoints": [], "hasMore": False, "nextCursor": None}),
    }

    def answer(request: httpx.Request) -> httpx.Response:
        status, body = answers[request.url.path]
        if status == 0:
            raise httpx.ConnectError("no route", request=request)
        return httpx.Response(status, json=body)

    monkeypatch.setattr(doctor, "create_client", lambda **_: httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    return answers


@pytest.fixture
def settings_with(tmp_path):
    def make(**changes):
        values = {
            "database_url": f"sqlite:///{tmp_path / 'receiver.db'}",
            "handlers": ("handlers",),
            "secret_key": SecretStr(new_key()),
            "providers": {"videogen": Provider(webhook_secret=SecretStr(SECRET))},
        }
        return Settings(**(values | changes))

    return make


@pytest.fixture
async def migrated(settings_with):
    store = Store(settings_with().database_url)
    await store.migrate()
    yield store
    await store.close()


async def found(settings) -> dict[str, tuple[str, str]]:
    return {check.name: (check.state, check.text) for check in await examine(settings)}


async def test_all_is_fine_one_line_each(settings_with, migrated, world):
    checks = await found(settings_with(public_url=HOST))
    names = ["settings", "store", "secrets", "public URL", "endpoints", "clock", "jobs"]
    assert list(checks) == [*names, "handlers", "alarms", "retention"]
    assert {state for state, _ in checks.values()} == {"fine"}
    assert checks["handlers"][1] == "download, log, talking_avatar"
    assert "no VIDEOGEN_API_KEY" in checks["endpoints"][1]


async def test_an_endpoint_that_is_missing_at_the_provider_is_wrong(settings_with, migrated, world):
    provider = Provider(webhook_secret=SecretStr(SECRET), api_key=SecretStr("k"))
    checks = await found(settings_with(public_url=HOST, providers={"videogen": provider}))
    assert checks["endpoints"][0] == "wrong"
    world["/v1/webhooks/endpoints"] = (401, {"message": "Unauthorized"})
    checks = await found(settings_with(public_url=HOST, providers={"videogen": provider}))
    assert checks["endpoints"][0] == "wrong"
    assert "Unauthorized" in checks["endpoints"][1]


async def test_with_nothing_registered_and_no_public_url_the_endpoints_are_fine(settings_with, migrated, world):
    provider = Provider(webhook_secret=SecretStr(SECRET), api_key=SecretStr("k"))
    checks = await found(settings_with(providers={"videogen": provider}))
    assert checks["endpoints"] == ("fine", "videogen: 0 registered, none drifted")
    assert checks["public URL"][0] == "note"


async def test_no_database_yet_is_only_a_note_on_sqlite(settings_with, world):
    checks = await found(settings_with())
    assert checks["store"][0] == checks["secrets"][0] == checks["clock"][0] == "note"


async def test_a_postgresql_without_the_schema_is_wrong(settings_with, world, postgres):
    checks = await found(settings_with(database_url=postgres))
    assert checks["store"][0] == "wrong"
    assert "receiver migrate" in checks["store"][1]


async def test_a_server_that_does_not_answer_is_wrong(settings_with, world):
    checks = await found(settings_with(database_url="postgresql://u:hunter2@127.0.0.1:1/x"))
    assert checks["store"][0] == "wrong"
    assert "hunter2" not in checks["store"][1]


@pytest.mark.parametrize(("secret", "state"), [("", "wrong"), ("whsec_your_secret_here", "wrong"), (None, "wrong")])
async def test_secrets_that_cannot_work_are_wrong(settings_with, migrated, world, secret, state):
    provider = Provider(webhook_secret=None if secret is None else SecretStr(secret))
    checks = await found(settings_with(providers={"videogen": provider}))
    assert checks["secrets"][0] == state


async def test_without_a_key_no_secret_can_be_stored(settings_with, migrated, world):
    checks = await found(settings_with(secret_key=None))
    assert checks["secrets"][0] == "note"


@pytest.mark.parametrize("answer", [(404, {}), (200, {"status": "who?"}), (0, {})])
async def test_a_public_url_that_does_not_reach_a_receiver_is_wrong(settings_with, migrated, world, answer):
    world["/healthz"] = answer
    checks = await found(settings_with(public_url=HOST))
    assert checks["public URL"][0] == "wrong"


async def test_a_public_url_without_tls_is_wrong_unless_the_host_is_allowed(settings_with, migrated, world):
    plain = "http://10.0.0.5:8000"
    assert (await found(settings_with(public_url=plain)))["public URL"][0] == "wrong"
    assert (await found(settings_with(public_url=plain, outbound_allow=("10.0.0.5",))))["public URL"][0] == "fine"


async def test_many_genuine_deliveries_off_by_an_hour_are_a_wrong_clock(settings_with, migrated, world):
    now = time.time()
    common = {"source": "videogen", "status": 401, "received_at": now, "headers": "{}", "body": b"", "size": 0}
    off = [Refusal(**common, reason="stale-timestamp", skew=-3600.0) for _ in range(4)]
    await migrated.events.add([], off)
    checks = await found(settings_with())
    assert checks["clock"][0] == "wrong"
    assert "-3600 s" in checks["clock"][1]
    good = [
        Arrival(
            source="videogen",
            type="x",
            road="webhook",
            received_at=now,
            occurred_at=now,
            headers="{}",
            body=b"",
            message_id=str(number),
        )
        for number in range(9)
    ]
    await migrated.events.add(good)
    assert (await found(settings_with()))["clock"][0] == "fine"


async def test_handlers_that_do_not_import_are_wrong_and_none_is_a_note(settings_with, migrated, world, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "one.py").write_text("import nothing_of_that_name")
    assert (await found(settings_with(handlers=(str(tmp_path / "empty"),))))["handlers"][0] == "note"
    assert (await found(settings_with(handlers=(str(tmp_path / "broken"),))))["handlers"][0] == "wrong"


async def test_what_receiver_toml_says_of_alarms_and_retention_is_looked_at(settings_with, migrated, world, tmp_path):
    file = tmp_path / "own.toml"

    async def told(text):
        file.write_text(text)
        checks = await found(settings_with(config=file))
        return checks["alarms"], checks["retention"]

    rule = '[[alarms]]\nwatch = "backlog"\nabout = "download"\noff = true\n'
    alarms, retention = await told(rule + '[retention]\nevents = "90d"\nrefused = "never"\n')
    assert alarms == ("fine", "off are backlog download")
    assert retention == ("fine", "deleted are events after 90 d, copies after 30 d, secrets after 30 d; the rest stays")
    alarms, _ = await told(rule.replace("download", "donwload"))
    assert (alarms[0], "called donwload" in alarms[1]) == ("note", True)
    alarms, retention = await told('[[alarms]]\nwatch = "backlogs"\n[retention]\nevents = 90\n')
    assert (alarms[0], "own.toml:2" in alarms[1]) == ("wrong", True)
    assert (retention[0], "own.toml:4" in retention[1]) == ("wrong", True)


async def test_a_disk_that_is_lost_at_each_deploy_is_wrong(settings_with, migrated, world, monkeypatch):
    monkeypatch.setenv("DYNO", "web.1")
    assert (await found(settings_with()))["settings"][0] == "wrong"


async def test_a_provider_whose_api_is_not_known_is_not_looked_at_and_not_wrong(settings_with, migrated, world):
    mux = Provider(webhook_secret=SecretStr("kR7mW2pX9qL4vN8tB3zY"), api_key=SecretStr("k"))
    videogen = Provider(webhook_secret=SecretStr(SECRET))
    checks = await found(settings_with(providers={"mux": mux, "videogen": videogen}))
    state, text = checks["endpoints"]
    assert state == "fine"
    assert "mux: registered there by hand" in text


async def test_jobs_that_nobody_looks_after_are_wrong(settings_with, migrated, world):
    await migrated.jobs.add(NewJob(source="videogen", tool="GENERATE_MUSIC"))
    state, text = (await found(settings_with()))["jobs"]
    assert (state, text) == ("wrong", "1 waiting; not looked after without VIDEOGEN_API_KEY")
