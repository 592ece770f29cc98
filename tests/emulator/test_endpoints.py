import base64
from typing import Any

import pytest

from receiver.emulator.api import ApiError
from receiver.emulator.endpoints import EVENTS, new_endpoint

WANTED = {
    "url": "https://hooks.example.com/in",
    "events": ["tool_execution.succeeded"],
    "description": "prod",
}


def test_an_endpoint_gets_a_secret_of_24_random_bytes_and_never_shows_it() -> None:
    one, two = (new_endpoint(WANTED, now=1793145600.7) for _ in range(2))
    prefix, _, text = one.secret.partition("_")
    assert (prefix, len(base64.b64decode(text, validate=True))) == ("whsec", 24)
    assert one.secret != two.secret
    assert one.id != two.id
    assert one.secret not in repr(one)
    assert one.as_json() == {
        "endpointId": one.id,
        "url": "https://hooks.example.com/in",
        "events": ["tool_execution.succeeded"],
        "description": "prod",
        "createdAt": 1793145600,
        "signingSecretLast4": one.secret[-4:],
    }
    assert one.id.startswith("ep_")


def test_eighteen_events_are_known() -> None:
    assert len(EVENTS) == 18
    assert {"file.upload.completed", "project_export.cancelled", "assistant_message.failed"} < EVENTS


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com:8443/a?b=c",
        "http://127.0.0.1:8000/in",
        "http://[::1]/in",
        "http://localhost:80/",
    ],
)
def test_https_and_plain_http_to_this_machine_are_taken(url: str) -> None:
    assert new_endpoint(WANTED | {"url": url}, now=0).url == url


@pytest.mark.parametrize(
    "change",
    [
        {"url": None},
        {"url": 5},
        {"url": ""},
        {"url": "hooks.example.com"},
        {"url": "http://hooks.example.com/in"},
        {"url": "http://10.0.0.1/in"},
        {"url": "https:///in"},
        {"url": "ftp://127.0.0.1/in"},
        {"url": "https://hooks.example.com:port/in"},
        {"events": None},
        {"events": []},
        {"events": "tool_execution.succeeded"},
        {"events": ["tool_execution.succeeded", "tool_execution.started"]},
        {"events": [["tool_execution.succeeded"]]},
        {"description": 5},
    ],
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        new_endpoint(WANTED | change, now=0)
    assert (caught.value.status, caught.value.body["code"]) == (400, "invalid_request")


def test_a_description_is_optional() -> None:
    assert new_endpoint({key: WANTED[key] for key in ("url", "events")}, now=0).description is None
