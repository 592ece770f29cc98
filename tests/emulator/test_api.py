from typing import Any

import pytest

from .conftest import ALL, Emulator

CREATE = "/v1/webhooks/endpoints"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "missing_api_key"),
        ("Bearer", "invalid_api_key"),
        ("Bearer  ", "invalid_api_key"),
        ("Basic abc", "invalid_api_key"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/me", "/v1/files", "/v1/tools/executions/vg_tool_unknown"])
async def test_nothing_is_told_without_a_key(emulator: Emulator, path: str, header: str | None, code: str) -> None:
    del emulator.client.headers["authorization"]
    answer = await emulator.client.get(path, headers={"authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.json()["code"] == code
    assert answer.headers["x-request-id"].startswith("req_")


async def test_any_key_will_do(emulator: Emulator) -> None:
    answer = await emulator.client.get("/v1/me", headers={"authorization": "bearer sk_videogen_live_x"})
    assert answer.status_code == 200
    assert set(answer.json()) == {"apiKeyId", "apiKeyNickname", "email", "displayName", "teamId"}


@pytest.mark.parametrize(
    "body", [b"", b"prompt=rain", b"\xff\xfe", b'{"prompt":', b"[" * 100_000, b'["prompt"]', b"null"]
)
async def test_a_body_that_is_no_json_object_is_refused(emulator: Emulator, body: bytes) -> None:
    answer = await emulator.client.post("/v1/tools/generate-music", content=body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"message", "code", "requirement", "internalErrorCode"}
    assert answer.json()["code"] == "invalid_request"
    assert not emulator.videogen.jobs.executions


async def test_a_body_that_is_too_large_is_not_read_to_its_end(emulator: Emulator) -> None:
    answer = await emulator.client.post("/v1/tools/generate-music", json={"prompt": "a" * 2**20})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/tools/generate-everything", 404, "not_found"),
        ("PATCH", CREATE, 405, None),
        ("GET", "/v1/tools/generate-music", 405, None),
        ("DELETE", CREATE + "/ep_unknown", 404, "not_found"),
        ("GET", "/v1/tools/executions/vg_tool_unknown", 404, "not_found"),
        ("POST", "/v1/tools/executions/vg_tool_unknown/cancel", 404, "not_found"),
        ("GET", "/v1/files/vg_file_unknown", 404, "not_found"),
        ("POST", "/v1/files/vg_file_unknown/hydrate", 404, "not_found"),
        ("POST", "/v1/files/vg_file_unknown/archive", 404, "not_found"),
    ],
)
async def test_what_is_not_there_is_an_api_error(
    emulator: Emulator, method: str, path: str, status: int, code: str | None
) -> None:
    answer = await emulator.client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"message", "code", "requirement", "internalErrorCode"}
    assert answer.json()["code"] == code
    assert answer.headers["x-request-id"]


async def test_pages_go_from_the_newest_to_the_oldest_and_new_entries_do_not_shift_them(
    emulator: Emulator,
) -> None:
    made = [(await emulator.register())["endpointId"] for _ in range(5)]
    first = await emulator.get(f"{CREATE}?limit=2")
    assert [each["endpointId"] for each in first["endpoints"]] == [made[4], made[3]]
    assert first["hasMore"] is True
    await emulator.register()
    second = await emulator.get(f"{CREATE}?limit=2&cursor={first['nextCursor']}")
    third = await emulator.get(f"{CREATE}?limit=2&cursor={second['nextCursor']}")
    assert [each["endpointId"] for each in second["endpoints"] + third["endpoints"]] == [
        made[2],
        made[1],
        made[0],
    ]
    assert (third["hasMore"], third["nextCursor"]) == (False, None)


async def test_a_page_has_50_entries_unless_told_and_200_at_most(emulator: Emulator) -> None:
    for _ in range(201):
        await emulator.register()
    assert len((await emulator.get(CREATE))["endpoints"]) == 50
    assert len((await emulator.get(f"{CREATE}?limit=201"))["endpoints"]) == 200


@pytest.mark.parametrize("limit", ["0", "-1", "many", "1.5", ""])
async def test_a_limit_is_a_number(emulator: Emulator, limit: str) -> None:
    answer = await emulator.client.get(CREATE, params={"limit": limit})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_a_cursor_is_good_for_its_own_listing_only(emulator: Emulator) -> None:
    for _ in range(2):
        await emulator.register()
    cursor = (await emulator.get(f"{CREATE}?limit=1"))["nextCursor"]
    wrong: list[dict[str, Any]] = [{"cursor": text} for text in ("", "?", "abc", "////", "zz==", cursor[:-4])]
    for path, params in [("/v1/files", {"cursor": cursor}), *((CREATE, each) for each in wrong)]:
        answer = await emulator.client.get(path, params=params)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_the_secret_is_told_once(emulator: Emulator) -> None:
    made = await emulator.register()
    secret = made.pop("signingSecret")
    listed = await emulator.client.get(CREATE)
    assert listed.json() == {"endpoints": [made], "hasMore": False, "nextCursor": None}
    assert secret not in listed.text
    assert made["events"] == ALL


async def test_an_endpoint_that_is_deleted_is_gone(emulator: Emulator) -> None:
    path = f"{CREATE}/{(await emulator.register())['endpointId']}"
    answer = await emulator.client.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await emulator.client.delete(path)).status_code == 404
    assert (await emulator.get(CREATE))["endpoints"] == []
