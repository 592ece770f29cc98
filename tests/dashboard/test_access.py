"""Nobody without a session sees or does anything, and no other site does it in somebody's name."""

from collections import Counter

import httpx
import pytest
from pydantic import SecretStr
from starlette.requests import Request

from receiver.access import ADDRESSES, OVERALL, TRIES, WINDOW, Tries
from receiver.dashboard.gate import LIFETIME
from receiver.errors import NoAccess
from receiver.store import Store

from .conftest import ORIGIN, TOKEN, opened, sign_in

PAGES = ("/", "/events", "/jobs", "/runs", "/refused", "/endpoints", "/handlers")

TRICKS = (
    "//",
    "//events",
    "/./events",
    "/static/../events",
    "/static/%2e%2e/events",
    "/static/x/../../receiver/settings.py",
    "/static/x/..%2f..%2fpages.py",
    "/static/x/app.css/",
    "/static/x/vendor",
    "/sign-in/",
    "/sign-in/../events",
    "/sign-in%00",
    "/SIGN-IN",
    "/healthz/../events",
    "/readyz/",
    "/webhooks/../events",
    "/events;/sign-in",
    "/%65vents",
    "/events%2f",
    "/\\events",
)


def cookie(answer):
    """The cookie of an answer: its name and value, and its attributes."""
    first, *attributes = answer.headers["set-cookie"].split("; ")
    return first, {attribute.lower() for attribute in attributes}


# Without a session


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_stranger_is_shown_nothing_but_where_to_sign_in(stranger, method):
    for path in (*PAGES, "/events/evt_1", "/no/such/page", "/live/events", "/files/out_1", "/sign-out"):
        answer = await stranger.request(method, path, headers=ORIGIN)
        assert answer.status_code in (303, 401), path
        assert answer.content == b"", path
        assert answer.headers.get("location", "/sign-in").startswith("/sign-in"), path


async def test_no_spelling_of_a_path_leads_past_the_gate(stranger):
    for path in TRICKS:
        url = httpx.URL(scheme="http", host="receiver", raw_path=path.encode())
        answer = await stranger.send(httpx.Request("GET", url))
        assert answer.status_code in (303, 404, 405), path
        assert not answer.content.startswith(b"<!doctype"), path


async def test_the_sign_in_page_and_its_files_are_all_that_a_stranger_gets(stranger):
    page = await stranger.get("/sign-in")
    assert page.status_code == 200
    files = [part.split('"')[0] for part in page.text.split('="')[1:] if part.startswith("/static/")]
    assert len(files) >= 2
    for file in files:
        answer = await stranger.get(file)
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")
    assert (await stranger.get("/healthz")).json() == {"status": "ok"}


async def test_without_an_admin_token_nobody_can_sign_in(url, clock):
    async with opened(url, clock, admin_token=None) as client:
        assert "RECEIVER_ADMIN_TOKEN" in (await client.get("/sign-in")).text
        assert (await sign_in(client, "")).status_code == 403
        assert (await client.get("/events", headers={"cookie": "receiver=x"})).status_code == 303


# Signing in


async def test_the_token_opens_the_pages_and_leads_back_to_where_one_wanted_to_go(stranger):
    turned_away = await stranger.get("/events?type=a&text=b%26c")
    where = turned_away.headers["location"]
    page = await stranger.get(where)
    assert 'name="next" value="/events?type=a&amp;text=b%26c"' in page.text
    answer = await stranger.post("/sign-in", data={"token": TOKEN, "next": "/events?type=a&text=b%26c"}, headers=ORIGIN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/events?type=a&text=b%26c")
    assert (await stranger.get("/")).status_code == 200


async def test_signing_in_leads_to_no_other_site(stranger):
    for next in (
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
        "/\r\nx: y",
        "/\t/e",
    ):
        answer = await stranger.post("/sign-in", data={"token": TOKEN, "next": next}, headers=ORIGIN)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "x" not in answer.headers


async def test_a_wrong_token_opens_nothing_and_is_not_shown(stranger):
    for token in ("", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\N{SNOWMAN}" * 30, "\ud800" * 9):
        said = token.encode("utf-8", "surrogatepass")
        answer = await stranger.post("/sign-in", data={"token": said}, headers=ORIGIN)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert len(token) < 9 or token not in answer.text


def bearer(token):
    return {"authorization": f"Bearer {token}"}


async def test_wrong_tokens_are_counted_together_wherever_they_are_said(stranger, clock):
    ways = [
        lambda: sign_in(stranger, "wrong"),
        lambda: stranger.get("/api/v1/events", headers=bearer("wrong")),
        lambda: stranger.get("/metrics", headers=bearer("wrong")),
    ]
    for number in range(TRIES):
        assert (await ways[number % 3]()).status_code == 401
    for way in ways:
        clock.turn(60)
        answer = await way()
        assert (answer.status_code, "set-cookie" in answer.headers) == (429, False)
    assert answer.headers["retry-after"] == str(int(WINDOW - 180))
    clock.turn(WINDOW)
    for way in ways:
        assert (await way()).status_code == 401


async def test_the_right_token_opens_however_many_wrong_ones_were_said(stranger):
    for _ in range(TRIES * 3):
        await stranger.get("/api/v1/events", headers=bearer("wrong"))
    assert (await stranger.get("/api/v1/events", headers=bearer(TOKEN))).status_code == 200
    assert (await stranger.get("/metrics", headers=bearer(TOKEN))).status_code == 200
    assert (await sign_in(stranger)).status_code == 303


async def test_who_says_no_token_at_all_tries_none(stranger):
    for headers in ({}, {"authorization": "Bearer"}, {"authorization": "Basic YTpi"}) * TRIES:
        assert (await stranger.get("/api/v1/events", headers=headers)).status_code == 401


def asked_from(address):
    return Request({"type": "http", "headers": [], "client": (address, 1)})


def answers(tries, addresses):
    found = Counter()
    for address in addresses:
        with pytest.raises(NoAccess) as refused:
            tries.check(asked_from(address), "wrong", SecretStr(TOKEN))
        found[refused.value.status] += 1
    return found


def test_many_addresses_together_have_no_more_tries_than_a_few(clock):
    tries = Tries(clock)
    assert answers(tries, [f"address {number}" for number in range(OVERALL)]) == {401: OVERALL}
    assert answers(tries, [f"other {number}" for number in range(50)]) == {429: 50}
    clock.turn(WINDOW)
    assert answers(tries, ["address 0", "nobody"]) == {401: 2}


def test_what_strangers_can_make_us_remember_is_bounded(clock):
    tries = Tries(clock)
    answers(tries, [f"address {number}" for number in range(ADDRESSES + 50)])
    assert len(tries._wrong) == ADDRESSES


async def test_a_form_that_is_too_large_is_refused(stranger):
    assert (await sign_in(stranger, "x" * 100_000)).status_code == 413
    many = "&".join(f"a{number}=1" for number in range(200))
    headers = ORIGIN | {"content-type": "application/x-www-form-urlencoded"}
    assert (await stranger.post("/sign-in", content=many, headers=headers)).status_code == 413


# The cookie


async def test_the_cookie_is_for_no_script_and_no_other_site_and_ends(stranger):
    name, attributes = cookie(await sign_in(stranger))
    assert name.startswith("receiver=")
    assert len(name) > 40
    assert attributes == {"httponly", "samesite=lax", "path=/", f"max-age={LIFETIME}"}


@pytest.mark.parametrize(
    ("settings", "headers"),
    [({"public_url": "https://hooks.example.com"}, {}), ({}, {"x-forwarded-proto": "https"})],
)
async def test_behind_tls_the_cookie_is_for_tls_only(url, clock, settings, headers):
    async with opened(url, clock, **settings) as client:
        name, attributes = cookie(await sign_in(client, **headers))
        assert name.startswith("__Host-receiver=")
        assert attributes == {"httponly", "samesite=lax", "path=/", "secure", f"max-age={LIFETIME}"}
        assert (await client.get("/", headers={"cookie": name.replace("__Host-", ""), **headers})).status_code == 303
        assert (await client.get("/", headers={"cookie": name, **headers})).status_code == 200


async def test_one_who_comes_without_tls_is_told_where_to_sign_in_with_it(url, clock):
    async with opened(url, clock, public_url="https://hooks.example.com") as client:
        assert "https://hooks.example.com" in (await client.get("/sign-in")).text
        by_tls = await client.get("/sign-in", headers={"x-forwarded-proto": "https"})
        assert "https://hooks.example.com" not in by_tls.text
        assert "https://hooks.example.com" not in (await client.get("http://127.0.0.1:8000/sign-in")).text


async def test_a_session_ends_after_its_time(client, clock):
    clock.turn(LIFETIME - 1)
    assert (await client.get("/")).status_code == 200
    clock.turn(2)
    assert (await client.get("/")).status_code == 303


async def test_signing_out_ends_the_session_and_not_only_the_cookie(client):
    stolen = {"cookie": f"receiver={client.cookies['receiver']}"}
    assert (await client.get("/", headers=stolen)).status_code == 200
    answer = await client.post("/sign-out", headers=ORIGIN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert "receiver" not in client.cookies
    assert (await client.get("/", headers=stolen)).status_code == 303


async def test_signing_in_again_ends_the_session_before(client):
    before = {"cookie": f"receiver={client.cookies['receiver']}"}
    await sign_in(client)
    client.cookies.clear()
    assert (await client.get("/", headers=before)).status_code == 303


async def test_another_admin_token_ends_all_sessions(url, clock):
    async with opened(url, clock) as client:
        await sign_in(client)
        held = {"cookie": f"receiver={client.cookies['receiver']}"}
        assert (await client.get("/", headers=held)).status_code == 200
    async with opened(url, clock, admin_token="another-token-that-is-long") as client:
        assert (await client.get("/", headers=held)).status_code == 303
    async with opened(url, clock) as client:
        assert (await client.get("/", headers=held)).status_code == 200


async def test_who_reads_the_database_gets_into_no_session(url, clock):
    async with opened(url, clock) as client:
        await sign_in(client)
        store = Store(url)
        async with store.database.read() as connection:
            [digest] = (await connection.exec_driver_sql("SELECT digest FROM sessions")).scalars()
        await store.close()
        assert client.cookies["receiver"] not in digest
        client.cookies.clear()
        assert (await client.get("/", headers={"cookie": f"receiver={digest}"})).status_code == 303


async def test_sessions_that_are_over_are_forgotten(url, clock):
    async with opened(url, clock) as client:
        await sign_in(client)
        clock.turn(LIFETIME + 1)
        client.cookies.clear()
        await sign_in(client)
        store = Store(url)
        async with store.database.read() as connection:
            found = await connection.exec_driver_sql("SELECT count(*) FROM sessions")
            assert found.scalar_one() == 1
        await store.close()


async def test_a_made_up_cookie_is_no_session(stranger):
    for value in ("", "x", "..", "\xff\xfe", "a" * 4000, "' OR 1=1 --"):
        headers = {"cookie": f"receiver={value}".encode("latin-1")}
        assert (await stranger.get("/", headers=headers)).status_code == 303, value


# Other sites


FOREIGN = (
    {},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://receiver.evil.example"},
    {"origin": "http://receiver:8000"},
    {"origin": "http://receiver", "sec-fetch-site": "cross-site"},
    {"origin": "http://receiver", "sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"referer": "http://receiver/"},
)


async def test_no_other_site_acts_for_somebody_who_is_signed_in(client):
    held = client.cookies["receiver"]
    for headers in FOREIGN:
        answer = await client.post("/sign-out", headers=headers)
        assert answer.status_code == 403
        assert (await client.get("/", headers={"cookie": f"receiver={held}"})).status_code == 200
        assert (await client.post("/sign-in", data={"token": TOKEN}, headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "headers", [ORIGIN, {"sec-fetch-site": "same-origin"}, {"origin": "https://hooks.example.com"}]
)
async def test_our_own_pages_act_also_where_a_proxy_gave_us_another_host(url, clock, headers):
    async with opened(url, clock, public_url="https://hooks.example.com") as client:
        assert (await client.post("/sign-in", data={"token": TOKEN}, headers=headers)).status_code == 303


@pytest.mark.parametrize("path", ["/sign-out"])
async def test_nothing_is_done_by_following_a_link(client, path):
    assert (await client.get(path)).status_code == 404
    assert (await client.get("/")).status_code == 200


# What every page says


@pytest.mark.parametrize("path", ["/", "/sign-in", "/no/such/page"])
async def test_pages_run_nothing_of_others_stand_in_no_frame_and_are_not_kept(client, path):
    headers = (await client.get(path)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "same-origin"


async def test_a_page_of_a_store_that_does_not_answer_says_so(client, url):
    store = Store(url)
    async with store.database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE sessions RENAME TO gone")
    await store.close()
    answer = await client.get("/")
    assert answer.status_code == 503
    assert "does not answer" in answer.text
