"""What events and jobs tell on every face, and what they keep to themselves."""

import json

import pytest

from receiver.recall import data_of, headers_told, safe


@pytest.mark.parametrize("value", ["tok_1", 7, 1.5, ["tok_1"], {"value": "tok_1"}, [{"deep": ["tok_1"]}]])
@pytest.mark.parametrize(
    "key", ["token", "accessToken", "client_secret", "x-signature", "api_key", "Password", "secrets"]
)
def test_the_value_of_a_key_that_names_a_secret_is_hidden_of_any_type(key, value):
    assert data_of(json.dumps({"a": [{key: value}]}).encode()) == {"a": [{key: "[hidden]"}]}


def test_what_only_sounds_like_a_secret_is_told():
    usage = {"input_tokens": 12, "tokens": 3, "token": None, "secret": False, "tokenizer": "bpe", "signature_count": 2}
    assert safe(usage) == usage


def test_a_secret_inside_a_longer_text_and_the_query_of_a_url_are_not_told():
    told = safe({"note": "use whsec_abcdef12 at https://cdn.test/a.mp4?sig=1"})
    assert told == {"note": "use [redacted] at https://cdn.test/a.mp4?[redacted]"}


def test_headers_that_prove_who_sent_them_are_hidden():
    told = headers_told("webhook-id: m1\nwebhook-signature: v1,abc\nx-upload-token: t\nx-api-key: k")
    assert told == {
        "webhook-id": "m1",
        **dict.fromkeys(("webhook-signature", "x-upload-token", "x-api-key"), "[hidden]"),
    }
