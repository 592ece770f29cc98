import hashlib
import hmac
import json

import pytest

SECRET = "kR7mW2pX9qL4vN8tB3zY"


@pytest.fixture
def delivery(run, tmp_path, monkeypatch):
    run("migrate")
    monkeypatch.setenv("MUX_WEBHOOK_SECRET", SECRET)
    signature = hmac.new(SECRET.encode(), b'1700000000.{"id":"j"}', hashlib.sha256).hexdigest()
    (tmp_path / "h.json").write_text(json.dumps({"Mux-Signature": f"t=1700000000,v1={signature}"}))
    (tmp_path / "b.json").write_text('{"id":"j"}')
    return ["--source", "mux", "--headers", str(tmp_path / "h.json"), "--body", str(tmp_path / "b.json")]


def test_a_genuine_delivery_is_explained_without_its_secret(run, delivery):
    ended = run("verify", *delivery, "--at", "1700000000")
    assert ended.code == 0
    assert "key …B3zY: fits" in ended.out
    assert "{ts}.{body}" in ended.out
    assert "header mux-signature: there" in ended.out
    assert "signed string: '1700000000.<the body, 10 bytes>'" in ended.out
    assert "up to 300 s old" in ended.out
    assert "verdict: taken" in ended.out
    assert SECRET not in ended.out + ended.err


def test_a_stale_one_is_told_by_how_much(run, delivery):
    ended = run("verify", *delivery, "--at", "1700000400")
    assert ended.code == 1
    assert "stale-timestamp, its clock is -400 s off ours" in ended.out


def test_a_source_that_cannot_be_trusted_is_named(run, delivery):
    ended = run("verify", "--source", "luma", *delivery[2:])
    assert ended.code == 2
    assert "luma" in ended.err
