"""The tree of errors is what its file draws, and each carries what its catcher needs."""

import inspect
import pickle
import re

import pytest

from receiver import errors
from receiver.errors import (
    AddressRefused,
    BadSignature,
    ConfigError,
    GiveUp,
    ProviderError,
    ReceiverError,
    Refused,
    Retry,
    TooLarge,
    Unavailable,
    UnknownSource,
    Unreadable,
    WrongMediaType,
)


def test_the_drawn_tree_is_the_real_one():
    drawn = {}
    path = []
    for line in errors.__doc__.splitlines():
        if found := re.match(r"    ([│├└─ ]*)([A-Z]\w+)", line):
            depth, name = len(found[1]) // 4, found[2]
            path = [*path[:depth], name]
            drawn[name] = path[-2] if depth else "Exception"
    drawn["GiveUp"] = "Exception"  # drawn beside Retry, on one line
    real = {
        name: kind.__mro__[1].__name__
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__
    }
    assert drawn == real


@pytest.mark.parametrize(
    ("kind", "status"),
    [(Refused, 400), (BadSignature, 401), (UnknownSource, 404), (TooLarge, 413), (WrongMediaType, 415)],
)
def test_a_refusal_knows_its_status_and_keeps_its_reason_for_us(kind, status):
    refusal = kind("because")
    assert (refusal.status, refusal.reason, str(refusal)) == (status, "because", "because")


def test_a_refusal_may_have_a_status_of_its_own_and_leaves_the_others_alone():
    assert Refused("slow-sender", status=408).status == 408
    assert Refused("other").status == 400


def test_a_bad_signature_tells_the_skew_if_it_is_known():
    assert BadSignature("stale-timestamp", skew=-301.0).skew == -301.0
    assert BadSignature("missing-header").skew is None


def test_unavailable_says_when_to_come_again():
    assert Unavailable("the store does not answer").retry_after == 5
    assert Unavailable("full", retry_after=60).retry_after == 60


def test_a_provider_error_keeps_what_its_support_will_ask_for():
    error = ProviderError("no", status=429, code="rate_limited", request_id="req_1", retry_after=2.5)
    assert (error.status, error.code, error.request_id, error.retry_after) == (429, "rate_limited", "req_1", 2.5)
    bare = ProviderError("no answer")
    assert (bare.status, bare.code, bare.request_id, bare.retry_after) == (0, None, None, None)


def test_steering_a_run_is_no_error_of_ours():
    assert Retry(after=30).after == 30
    assert (Retry("busy").after, str(Retry("busy"))) == (None, "busy")
    assert str(GiveUp("the file is gone")) == "the file is gone"
    assert not any(issubclass(steering, ReceiverError) for steering in (Retry, GiveUp))


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("x"),
        BadSignature("x"),
        Unreadable("x"),
        Unavailable("x"),
        ProviderError("x"),
        AddressRefused("x"),
        Retry("x"),
        GiveUp("x"),
    ],
)
def test_errors_travel_between_processes(error):
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied)) == (type(error), "x")
