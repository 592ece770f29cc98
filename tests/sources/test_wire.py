"""The quick parser and the exact one must never disagree about a body."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from receiver.errors import Unreadable
from receiver.sources import wire

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def outcome(read, body: bytes) -> object:
    try:
        return read(body)
    except Unreadable as error:
        return str(error)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_what_was_encoded_comes_back_equal(data):
    body = json.dumps(data).encode()
    assert wire.parse(body) == json.loads(body) or "\\ud" in body.decode()  # half pairs become U+FFFD
    assert outcome(wire.parse, body) == outcome(wire._parse, body)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=3), st.data())
def test_both_parsers_say_the_same_of_a_damaged_body(data, draw):
    body = bytearray(json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(0, len(body)))
        body[at : at + draw.draw(st.integers(0, 2))] = draw.draw(st.binary(max_size=3) | st.sampled_from(JSON_BITS))
    assert outcome(wire.parse, bytes(body)) == outcome(wire._parse, bytes(body))


JSON_BITS = [
    b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b"1e999", b"-0", b"NaN", b"Infinity", b"01", b"1.",
    b".5", b"+1", b"\\x", b"\x00",
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"9" * 4000, b"9" * 4400, b"1E-400",
]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [b'{"a": %b}' % bit for bit in JSON_BITS]
    + [b'{"a": "%b"}' % bit for bit in JSON_BITS]
    + [
        b"",
        b" ",
        b"null",
        b"[]",
        b"\xef\xbb\xbf{}",
        b"{}x",
        b'{"a":1,"a":2}',
        b"\xff\xfe{\x00}\x00",
        b" \t\r\n{} ",
        b"\x0c{}",
    ],
)
def test_both_parsers_say_the_same_of(body):
    quick, exact = outcome(wire.parse, body), outcome(wire._parse, body)
    assert quick == exact
    assert repr(quick) == repr(exact)  # -0.0 and 1 against 1.0 too


@pytest.mark.parametrize("levels", [1, 63, 64, 65, 66, 500, 100_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_the_limit_of_nesting_is_exact(opening, levels):
    closing = b"]" if opening == b"[" else b"}"
    body = b'{"deep":' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"
    if levels <= wire.DEEPEST:
        assert wire.parse(body)["deep"]
    else:
        with pytest.raises(Unreadable, match="nested too deeply"):
            wire.parse(body)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(1.7976931348623157e308)
def test_numbers_keep_every_digit(number):
    [found] = wire.parse(b'{"n": %b}' % repr(number).encode()).values()
    assert math.copysign(1, found) == math.copysign(1, number)
    assert found == number
