"""Outside witnesses: three libraries that know nothing of ours, under the same clock.

Where they and we disagree, the case stands below, in a table that is run.
"""

import base64
import binascii
import hashlib
import hmac
import importlib
import itertools
import json
from datetime import UTC, datetime

import pytest
import standardwebhooks
import standardwebhooks.webhooks
import svix.webhooks
import videogen
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.errors import BadSignature, ConfigError
from receiver.schemes import STANDARD
from receiver.signatures import decode_secret, sign

from .conftest import SAMPLES, SECRET

T0 = 1793232000
KEY = decode_secret(SECRET)
BODY = b'{"event":"tool_execution.succeeded"}'
VECTORS = json.loads((SAMPLES / "delivery" / "signature-vectors.json").read_text())["vectors"]

prove = settings(deadline=None, derandomize=True, database=None, max_examples=150)


class Clock(datetime):
    """The clock of standardwebhooks, and of svix, which is built on it."""

    stands_at = T0

    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(cls.stands_at, tz)


@pytest.fixture(autouse=True, scope="module")
def clock():
    """Stop the witnesses' clocks at T0; what is called sets them."""
    sdk = importlib.import_module("videogen.verify_webhook_signature")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standardwebhooks.webhooks, "datetime", Clock)
        patch.setattr(sdk.time, "time", lambda: Clock.stands_at)
        yield lambda now: patch.setattr(Clock, "stands_at", now)


def ours(headers, body, secret):
    try:
        keys = [decode_secret(secret)]
        STANDARD.verify(
            [(name.encode(), value) for name, value in headers.items()], body, keys=keys, now=Clock.stands_at
        )
    except (BadSignature, ConfigError):
        return "no"
    return "yes"


def witness(ask, refusals):
    """Return a function that tells what a witness says: yes, no, or the error it was not meant to end with."""

    def says(headers, body, secret):
        try:
            ask(body, {name: value.decode("latin-1") for name, value in headers.items()}, secret)
        except refusals as error:
            status = getattr(error, "status", 401)
            return "no" if status == 401 else f"answers {status}"
        except Exception as error:  # noqa: BLE001 - which one it is, is what the tests below are about
            return type(error).__name__ if not isinstance(error, binascii.Error) else "binascii.Error"
        return "yes"

    return says


standard = witness(
    lambda body, headers, secret: standardwebhooks.Webhook(secret).verify(body, headers, json_parse=False),
    standardwebhooks.WebhookVerificationError,
)
svixs = witness(
    lambda body, headers, secret: svix.webhooks.Webhook(secret).verify(body, headers),
    svix.webhooks.WebhookVerificationError,
)
sdk = witness(videogen.verify_webhook_signature, videogen.VideoGenError)
WITNESSES = (standard, svixs, sdk)


def signature(key=KEY, *, stamp=str(T0), body=BODY):
    content = b"msg_1." + stamp.encode() + b"." + body
    return b"v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())


def delivery(key=KEY, *, stamp=str(T0), body=BODY, signatures=None):
    signed = signature(key, stamp=stamp, body=body) if signatures is None else signatures
    return {"webhook-id": b"msg_1", "webhook-timestamp": stamp.encode(), "webhook-signature": signed}


# What one signs, all verify

_ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=80)
_keys = st.binary(min_size=16, max_size=64).filter(lambda key: len(set(key)) > 1)
_objects = st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=3)


@prove
@given(key=_keys, id=_ids, data=_objects)
def test_what_we_sign_all_witnesses_verify(key, id, data):
    secret = "whsec_" + base64.b64encode(key).decode()
    body = json.dumps(data, ensure_ascii=False).encode()
    headers = {
        "webhook-id": id.encode(),
        "webhook-timestamp": str(T0).encode(),
        "webhook-signature": sign(key, id=id, timestamp=T0, body=body).encode(),
    }
    assert [ask(headers, body, secret) for ask in (ours, *WITNESSES)] == ["yes"] * 4


@prove
@given(key=_keys, id=_ids, text=st.text())
def test_what_witnesses_sign_we_verify(key, id, text):
    secret = "whsec_" + base64.b64encode(key).decode()
    moment = datetime.fromtimestamp(T0, UTC)
    for signer in (standardwebhooks.Webhook(secret), svix.webhooks.Webhook(secret)):
        signed = signer.sign(id, moment, text)
        assert signed == sign(key, id=id, timestamp=T0, body=text.encode())
        headers = [
            (b"webhook-id", id.encode()),
            (b"webhook-timestamp", str(T0).encode()),
            (b"webhook-signature", signed.encode()),
        ]
        assert STANDARD.verify(headers, text.encode(), keys=[key], now=T0) == id


# What one refuses


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_official_sdk_gives_each_vector_the_same_verdict_but_for_the_empty_secret(vector, clock):
    clock(vector["now"])
    headers = {name: value.encode() for name, value in vector["headers"].items()}
    body = (SAMPLES / vector["bodyFile"]).read_bytes()
    verdict = "yes" if vector["expect"] == "accept" else "no"
    assert ours(headers, body, vector["secret"]) == verdict
    theirs = sdk(headers, body, vector["secret"])
    if vector["name"].startswith("empty secret"):
        assert theirs == "yes"
    else:
        assert ("yes" if theirs == "yes" else "no") == verdict


#: Base64 whose last digit has two bits that belong to no byte.
SLOPPY = signature()[:-2] + bytes([signature()[-2] + 1]) + b"="
PLAIN = base64.b64encode(KEY).decode()
URL_SAFE = base64.urlsafe_b64encode(bytes(range(224, 256))).decode()
PLACEHOLDER = "your_webhook_signing_secret_here"


def case(name, we, they, official, *, secret=SECRET, body=BODY, **changes):
    return pytest.param(delivery(body=body, **changes), body, secret, we, they, official, id=name)


@pytest.mark.parametrize(
    ("headers", "body", "secret", "we", "they", "official"),
    [
        # We take what can only be meant one way.
        case("no prefix", "yes", "yes", "yes", secret=PLAIN),
        case("newline after the secret", "yes", "yes", "yes", secret=f"{SECRET}\n"),
        case("space before the secret", "yes", "no", "yes", secret=f" {SECRET}"),
        case("unpadded secret", "yes", "yes", "no", secret=SECRET.rstrip("=")),
        case("url-safe secret", "yes", "binascii.Error", "no", secret=URL_SAFE, key=bytes(range(224, 256))),
        case("300 seconds old", "yes", "yes", "yes", stamp=str(T0 - 300)),
        case("junk first", "yes", "ValueError", "yes", signatures=b"junk " + signature()),
        case("broken base64 first", "yes", "binascii.Error", "yes", signatures=b"v1,a " + signature()),
        case("non-ASCII first", "yes", "ValueError", "TypeError", signatures="v1,é ".encode() + signature()),
        case("body is no UTF-8", "yes", "UnicodeDecodeError", "answers 400", body=b"\xff\xfe"),
        case("body is no object", "yes", "yes", "answers 400", body=b"[1]"),
        # We refuse what anybody could have signed.
        case("empty secret", "no", "EmptyWebhookSecretError", "yes", secret="", key=b""),
        case("prefix alone", "no", "EmptyWebhookSecretError", "yes", secret="whsec_", key=b""),
        case("masked secret", "no", "EmptyWebhookSecretError", "yes", secret="***", key=b""),
        case("placeholder", "no", "yes", "yes", secret=PLACEHOLDER, key=base64.b64decode(PLACEHOLDER + "==")),
        case("text for a key", "no", "no", "yes", secret="plain-text-secret", key=b"plain-text-secret"),
        # We refuse what is not written as the specification says.
        case("sloppy base64", "no", "yes", "no", signatures=SLOPPY),
        case("non-ASCII alone", "no", "ValueError", "TypeError", signatures=b"v1,\xff"),
        case("space before the timestamp", "no", "no", "yes", stamp=f" {T0}"),
        case("underscores in the timestamp", "no", "no", "yes", stamp="1_793_232_000"),
        case("fraction of a second", "no", "no", "no", stamp=f"{T0}.5"),
    ],
)
def test_where_we_differ_we_know_it(headers, body, secret, we, they, official, clock):
    clock(T0)
    assert ours(headers, body, secret) == we
    assert [standard(headers, body, secret), svixs(headers, body, secret)] == [they, they]
    assert sdk(headers, body, secret) == official


def test_no_witness_accepts_a_changed_byte_that_we_refuse_but_for_sloppy_base64(clock):
    clock(T0)
    good = delivery()
    lax = set()
    for part, value in (*good.items(), ("body", BODY)):
        for where, byte in itertools.product(range(len(value)), b"0+.,\xff"):
            changed = value[:where] + bytes([byte]) + value[where + 1 :]
            if changed == value:
                continue
            headers = {name: changed if name == part else known for name, known in good.items()}
            body = changed if part == "body" else BODY
            assert ours(headers, body, SECRET) == "no"
            lax |= {(part, where) for ask in WITNESSES if ask(headers, body, SECRET) == "yes"}
    assert lax <= {("webhook-signature", len(signature()) - 2)}
