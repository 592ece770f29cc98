"""What is trusted and what is not, to the byte."""

import base64
import hashlib
import hmac
import json
import math
import traceback
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.errors import BadSignature, ConfigError
from receiver.schemes import STANDARD
from receiver.signatures import PLACEHOLDERS, SHORTEST_KEY, decode_secret, sign

from .conftest import SAMPLES, SECRET

verify = STANDARD.verify

T0 = 1793232000
KEY = b"videogen-sample-secret-01"
BODY = b'{"event": "tool_execution.succeeded"}'
VECTORS = json.loads((SAMPLES / "delivery" / "signature-vectors.json").read_text())["vectors"]

prove = settings(deadline=None, derandomize=True, database=None, max_examples=200)


def signature(key=KEY, *, id=b"msg_1", stamp=b"1793232000", body=BODY):
    """Sign any bytes, also such as `sign` would not: written down once more, from the specification."""
    digest = hmac.new(key, id + b"." + stamp + b"." + body, hashlib.sha256).digest()
    return b"v1," + base64.b64encode(digest)


def headers(id=b"msg_1", stamp=b"1793232000", signatures=None, **signed):
    return [
        (b"content-type", b"application/json"),
        (b"webhook-id", id),
        (b"webhook-timestamp", stamp),
        (b"webhook-signature", signature(id=id, stamp=stamp, **signed) if signatures is None else signatures),
    ]


def accepted(pairs=None, body=BODY, *, keys=(KEY,), now=T0):
    return verify(headers() if pairs is None else pairs, body, keys=keys, now=now) == "msg_1"


def refused(pairs=None, body=BODY, *, keys=(KEY,), now=T0):
    """Return why a delivery is refused."""
    with pytest.raises(BadSignature) as caught:
        verify(headers() if pairs is None else pairs, body, keys=keys, now=now)
    assert caught.value.status == 401
    return caught.value.reason


# The vectors


def test_there_are_35_vectors():
    assert len(VECTORS) == 35


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_each_vector_gets_its_verdict_by_its_own_clock(vector):
    body = (SAMPLES / vector["bodyFile"]).read_bytes()
    assert hashlib.sha256(body).hexdigest() == vector["bodySha256"]
    if not vector["secret"]:
        with pytest.raises(ConfigError):
            decode_secret(vector["secret"])
        return
    pairs = [(name.encode(), value.encode()) for name, value in vector["headers"].items()]
    keys = [decode_secret(vector["secret"])]
    if vector["expect"] == "accept":
        assert verify(pairs, body, keys=keys, now=vector["now"]) == vector["headers"]["webhook-id"]
    else:
        assert refused(pairs, body, keys=keys, now=vector["now"])


def test_the_published_vector_of_standard_webhooks_is_signed_and_verified():
    key = decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    message, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
    signed = sign(key, id=message, timestamp=1614265330, body=body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    pairs = headers(message.encode(), b"1614265330", signed.encode())
    assert verify(pairs, body, keys=[key], now=1614265330) == message


# Secrets


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        SECRET.removeprefix("whsec_"),
        f"{SECRET}\n",
        f" {SECRET}",
        SECRET.rstrip("="),
        SECRET.removeprefix("whsec_").rstrip("="),
    ],
)
def test_a_secret_is_taken_with_and_without_prefix_padding_and_surrounding_space(text):
    assert decode_secret(text) == KEY


def test_both_base64_alphabets_are_taken():
    key = bytes(range(224, 256))
    text = base64.b64encode(key).decode()
    assert ("+" in text, "/" in text) == (True, True)
    assert decode_secret(f"whsec_{text}") == decode_secret(text.replace("+", "-").replace("/", "_")) == key


def test_raw_takes_the_text_itself():
    assert decode_secret("raw:plain but long enough, ünïcode") == "plain but long enough, ünïcode".encode()
    assert decode_secret(f"raw:{SECRET}") == SECRET.encode()


@pytest.mark.parametrize("text", ["", " \n", "whsec_", "whsec_=", "raw:", "whsec_raw:plain but long enough"])
def test_an_empty_secret_is_refused(text):
    with pytest.raises(ConfigError):
        decode_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "your_webhook_signing_secret_here",
        "whsec_your_webhook_signing_secret_here",
        "whsec_YOUR-SIGNING-SECRET-GOES-IN-HERE",
        "whsec_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "changemechangemechangemechangeme",
        "whsec_replacemereplacemereplacemerepl",
        "raw:replace this with the one you got",
        f"whsec_{base64.b64encode(bytes(32)).decode()}",
        "raw:0000000000000000000000000",
    ],
)
def test_a_placeholder_is_refused(text):
    with pytest.raises(ConfigError, match="placeholder"):
        decode_secret(text)


@pytest.mark.parametrize(
    "text", ["***", "my-secret", "plain-text-secret", f'"{SECRET}"', f"{SECRET[:20]} {SECRET[20:]}"]
)
def test_plain_text_and_copying_mistakes_are_refused(text):
    with pytest.raises(ConfigError):
        decode_secret(text)


def test_a_secret_that_was_cut_short_is_refused():
    with pytest.raises(ConfigError, match="cut short"):
        decode_secret(SECRET.rstrip("=")[:-1])


def test_a_secret_of_fewer_than_16_bytes_is_refused():
    key = bytes(range(SHORTEST_KEY))
    assert decode_secret(base64.b64encode(key).decode()) == key
    with pytest.raises(ConfigError, match="15 bytes"):
        decode_secret(base64.b64encode(key[1:]).decode())


def test_bytes_from_the_environment_that_are_no_text_are_refused():
    with pytest.raises(ConfigError):
        decode_secret("raw:long enough but \udcff")


def test_no_placeholder_is_so_short_that_a_random_secret_holds_it_by_chance():
    assert min(map(len, PLACEHOLDERS)) >= 5
    for number in range(2000):
        decode_secret(base64.b64encode(hashlib.sha256(b"%d" % number).digest()).decode())


@prove
@given(text=st.text(st.characters()), prefix=st.sampled_from(["", "whsec_", "raw:", " "]))
def test_decoding_any_text_gives_a_key_or_a_config_error_without_the_text(text, prefix):
    try:
        key = decode_secret(prefix + text)
    except ConfigError as error:
        told = "".join(traceback.format_exception_only(error))
        shown = error.__cause__ or (error.__context__ if not error.__suppress_context__ else None)
    else:
        told, shown = "", None
        assert len(key) >= SHORTEST_KEY
    assert shown is None
    assert len(text.strip()) < 8 or text.strip() not in told


@prove
@given(key=st.binary(min_size=SHORTEST_KEY, max_size=64).filter(lambda key: len(set(key)) > 1))
def test_every_key_survives_its_secret(key):
    assert decode_secret("whsec_" + base64.b64encode(key).decode()) == key


# Signatures


def test_what_is_signed_is_verified():
    signed = sign(KEY, id="msg_1", timestamp=T0, body=BODY)
    assert signed.encode() == signature()
    assert accepted(headers(signatures=signed.encode()))


@pytest.mark.parametrize(
    "before",
    [
        signature(b"another secret of good length"),
        b"v1a,AAAA",
        b"junk",
        b"v1,not*base64",
        b"v1,",
        "v1,éé".encode(),
        b"v1,\xff\x00",
        b"",
        b" ",
        b"v1",
        b"v1,a,b",
    ],
)
def test_what_comes_before_a_good_signature_is_skipped(before):
    assert accepted(headers(signatures=before + b" " + signature()))
    assert accepted(headers(signatures=signature() + b" " + before))


@pytest.mark.parametrize("alone", [b"v1a,AAAA", b"junk", b"", b" ", b"v2," + signature()[3:], signature()[3:]])
def test_without_a_v1_signature_nothing_is_trusted(alone):
    assert refused(headers(signatures=alone)) == "no-signature"


@pytest.mark.parametrize(
    "signatures",
    [
        "v1,éé".encode(),
        "v1,éé".encode("latin-1"),
        b"v1,",
        b"v1,not*base64",
        signature()[:-1],
        signature() + b"=",
        signature(b"another secret of good length"),
        signature().replace(b"v1,", b"v1, "),
    ],
)
def test_a_wrong_signature_of_any_kind_is_refused(signatures):
    assert refused(headers(signatures=signatures)) == "wrong-signature"


def test_any_of_several_keys_may_fit():
    others = [b"another secret of good length", b"and a third one of good length"]
    for position in range(3):
        assert accepted(keys=[*others[:position], KEY, *others[position:]])
    assert refused(keys=others) == "wrong-signature"


def test_without_keys_nothing_is_trusted():
    assert refused(keys=[]) == "no-secret"


def test_an_empty_key_verifies_nothing():
    pairs = headers(key=b"")
    assert refused(pairs, keys=[b""]) == "no-secret"
    assert refused(pairs, keys=[KEY, b""]) == "wrong-signature"
    assert accepted(keys=[b"", KEY])


def test_the_body_is_bytes_to_a_signature_whatever_they_mean():
    for body in (b"", b"[1]", b"\xff\xfe\x00", b"a.b.c", b"\r\n"):
        assert accepted(headers(body=body), body)


def test_a_body_that_was_parsed_and_written_again_is_refused():
    assert refused(headers(), json.dumps(json.loads(BODY), separators=(",", ":")).encode()) == "wrong-signature"


# Headers


@pytest.mark.parametrize("name", [b"webhook-id", b"webhook-timestamp", b"webhook-signature"])
def test_each_header_is_needed_once(name):
    pairs = headers()
    assert refused([pair for pair in pairs if pair[0] != name]) == "missing-header"
    assert refused([*pairs, (name, dict(pairs)[name])]) == "repeated-header"
    assert refused([(name, b"other"), *pairs]) == "repeated-header"


def test_other_headers_may_repeat():
    assert accepted([(b"x-trace", b"1"), (b"x-trace", b"2"), *headers()])


def test_names_are_lower_case_because_that_is_the_server_s_duty():
    assert refused([(name.title(), value) for name, value in headers()]) == "missing-header"


def test_the_names_of_another_scheme_are_not_taken():
    assert refused([(name.replace(b"webhook-", b"svix-"), value) for name, value in headers()]) == "missing-header"


@pytest.mark.parametrize("id", [b"", b" ", b"msg 1", b"msg_1\n", b"msg\x00", "msgé".encode(), b"\xff", b"m" * 257])
def test_a_malformed_id_is_refused_even_if_it_was_signed(id):
    assert refused(headers(id)) == "malformed-id"


def test_an_id_is_any_256_visible_characters():
    message = (bytes(range(0x21, 0x7F)) * 3)[:256]
    assert verify(headers(message), BODY, keys=[KEY], now=T0) == message.decode()


# The clock


@pytest.mark.parametrize("off", [-300, -299, 0, 299, 300])
def test_a_timestamp_may_be_300_seconds_off_either_way(off):
    assert accepted(now=T0 - off)


def test_301_seconds_are_too_much_either_way_and_the_error_tells_the_skew():
    for now, reason, skew in ((T0 + 301, "stale-timestamp", -301), (T0 - 301, "future-timestamp", 301)):
        with pytest.raises(BadSignature) as caught:
            verify(headers(), BODY, keys=[KEY], now=now)
        assert (caught.value.reason, caught.value.skew) == (reason, skew)


def test_the_tolerance_is_the_scheme_s_choice_each_way():
    scheme = replace(STANDARD, past=1000, future=1)
    assert scheme.verify(headers(), BODY, keys=[KEY], now=T0 + 1000)
    with pytest.raises(BadSignature):
        scheme.verify(headers(), BODY, keys=[KEY], now=T0 - 2)


def test_a_genuine_old_delivery_is_told_from_noise():
    assert refused(now=T0 + 301) == "stale-timestamp"
    assert refused(headers(signatures=b"v1,AAAA"), now=T0 + 301) == "wrong-signature"


@pytest.mark.parametrize(
    "stamp",
    [
        b"",
        b" ",
        b"1793232000.5",
        b" 1793232000",
        b"1793232000 ",
        b"1793232000\n",
        b"-1793232000",
        b"+1793232000",
        b"1_793_232_000",
        b"1_745",
        b"1e9",
        b"0x6ae2",
        b"nan",
        b"inf",
        "١٧٩٣٢٣٢٠٠٠".encode(),
        b"1" * 13,
        b"1" * 400,
        b"\xff",
    ],
)
def test_a_timestamp_is_1_to_12_digits_and_nothing_else_even_if_it_was_signed(stamp):
    assert refused(headers(stamp=stamp)) == "malformed-timestamp"


@pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf])
def test_a_clock_that_is_no_number_trusts_nothing(now):
    assert refused(now=now)


# Anything at all

_names = st.sampled_from([b"webhook-id", b"webhook-timestamp", b"webhook-signature"]) | st.binary(max_size=20)
_stamps = st.integers().map(lambda number: b"%d" % number) | st.floats().map(lambda number: repr(number).encode())
_signatures = st.lists(st.binary(max_size=60).map(lambda text: b"v1," + text)).map(b" ".join)
_values = st.binary(max_size=80) | _stamps | _signatures
_keys = st.lists(st.binary(max_size=70), max_size=3)


@prove
@given(pairs=st.lists(st.tuples(_names, _values), max_size=6), body=st.binary(), keys=_keys, now=st.floats())
def test_whatever_is_sent_only_bad_signature_comes_out(pairs, body, keys, now):
    assert refused(pairs, body, keys=keys, now=now)


@prove
@given(id=st.binary(max_size=20), stamp=_stamps, signatures=_values, body=st.binary(), keys=_keys, now=st.floats())
def test_whatever_is_in_the_three_headers_only_bad_signature_comes_out(id, stamp, signatures, body, keys, now):
    assert refused(headers(id, stamp, signatures), body, keys=keys, now=now)


_ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=256)
_good_keys = st.binary(min_size=SHORTEST_KEY, max_size=64)
_times = st.integers(0, 10**12 - 1)


@prove
@given(key=_good_keys, id=_ids, timestamp=_times, body=st.binary(), off=st.integers(-300, 300))
def test_whatever_we_sign_we_verify(key, id, timestamp, body, off):
    signed = sign(key, id=id, timestamp=timestamp, body=body).encode()
    pairs = headers(id.encode(), b"%d" % timestamp, signed)
    assert verify(pairs, body, keys=[key], now=timestamp + off) == id


@prove
@given(
    key=_good_keys,
    id=_ids,
    timestamp=_times,
    body=st.binary(min_size=1),
    part=st.sampled_from(["id", "timestamp", "signature", "body", "key"]),
    where=st.integers(0),
    flip=st.integers(1, 255),
)
def test_one_changed_byte_anywhere_is_refused(key, id, timestamp, body, part, where, flip):
    parts = {
        "id": id.encode(),
        "timestamp": b"%d" % timestamp,
        "signature": sign(key, id=id, timestamp=timestamp, body=body).encode(),
        "body": body,
        "key": key,
    }
    changed = bytearray(parts[part])
    changed[where % len(changed)] ^= flip
    parts[part] = bytes(changed)
    pairs = headers(parts["id"], parts["timestamp"], parts["signature"])
    assert refused(pairs, parts["body"], keys=[parts["key"]], now=timestamp)
