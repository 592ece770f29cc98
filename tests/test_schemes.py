"""Every scheme, against vectors: published ones and ones computed with other tools."""

import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import random
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver import schemes
from receiver.errors import BadSignature, ConfigError
from receiver.schemes import STANDARD, Scheme
from receiver.sources.profiles import PROFILES, SVIX, github_like, stripe_like

T0 = 1_700_000_000
BODY = b'{"id":"job_1","status":"completed"}'
KIE_BODY = b'{"taskId":"job_1"}'
KEY = b"testsecret"
SCHEMES = {profile.name: profile.scheme for profile in PROFILES}
SCHEMES["fal"] = replace(SCHEMES["fal"], audience="user_1")
FAL_KEY = base64.urlsafe_b64decode("A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")
FAL_SIGNATURE = (
    "2d2751772e984ffcbedb01f6b6c1265697d1b66cb3b117b2fdf397d551126d0d"
    "173cb9b70bd79b95c4bfc99d5e96cc967426366419c98ac9f6b0ef6823200c0f"
)
TS_BODY = "d8cc0fd6a1af6e748380cf531840e276a52b770b7611ef62897d404624a7357f"
ONLY_BODY = "1a916d1d998655cb2d3955b31259709d632321aa47c0f0bceff5bc961da7e4d6"
STANDARD_B64 = "CsTVQLP0n9CeaXC5rbumVS+PvAHNxv50ExjeFT9Ef9M="
STANDARD_HEX = "0ac4d540b3f49fd09e6970b9adbba6552f8fbc01cdc6fe741318de153f447fd3"
STANDARD_HEADERS = {"webhook-id": "msg_1", "webhook-timestamp": "1700000000"}
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA_KEY = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def part(data):
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=")


def token(claims, *, alg="RS256", sign=None):
    head = part({"alg": alg, "kid": "1"}) + b"." + part(claims)
    proof = sign(head) if sign else RSA.sign(head, padding.PKCS1v15(), SHA256())
    return (head + b"." + base64.urlsafe_b64encode(proof).rstrip(b"=")).decode()


# One genuine delivery per profile: headers, body, key.
GOLDEN = {
    **{
        name: ({**STANDARD_HEADERS, "webhook-signature": f"v1,{STANDARD_B64}"}, BODY, KEY)
        for name in ("standard", "replicate", "openai", "gemini", "higgsfield")
    },
    "svix": (
        {"svix-id": "msg_1", "svix-timestamp": "1700000000", "svix-signature": f"v1,{STANDARD_B64}"}, BODY, KEY
    ),
    "wavespeed": ({**STANDARD_HEADERS, "webhook-signature": f"v3,{STANDARD_HEX}"}, BODY, KEY),
    "pollo": (
        {"x-webhook-id": "msg_1", "x-webhook-timestamp": "1700000000", "x-webhook-signature": STANDARD_B64}, BODY, KEY
    ),
    "fal": (
        {
            "x-fal-webhook-request-id": "req_1",
            "x-fal-webhook-user-id": "user_1",
            "x-fal-webhook-timestamp": "1700000000",
            "x-fal-webhook-signature": FAL_SIGNATURE,
        },
        BODY,
        FAL_KEY,
    ),
    "openrouter": (
        {"x-openrouter-signature": "t=1700000000,v1=a2b96dae91d9e3a27ad123a1a417b4d99f1734e986c42da75049be4ee58c06dd"},
        BODY,
        KEY,
    ),
    "elevenlabs": ({"elevenlabs-signature": f"t=1700000000,v0={TS_BODY}"}, BODY, KEY),
    "mux": ({"mux-signature": f"t=1700000000,v1={TS_BODY}"}, BODY, KEY),
    "sync": ({"sync-signature": f"t=1700000000,v1={TS_BODY}"}, BODY, KEY),
    "synthesia": ({"synthesia-timestamp": "1700000000", "synthesia-signature": TS_BODY}, BODY, KEY),
    "heygen": ({"heygen-signature": ONLY_BODY}, BODY, KEY),
    "bfl": ({"x-bfl-signature": f"sha256={ONLY_BODY}"}, BODY, KEY),
    "pyannote": (
        {
            "x-request-timestamp": "1700000000",
            "x-signature": "88c170cbede4c5368c7bcdac200003b25750ce810b48157ae2af1d3ddb62a874",
        },
        BODY,
        KEY,
    ),
    "cloudinary": (
        {"x-cld-timestamp": "1700000000", "x-cld-signature": "e29cd879a04bf3469d1e3d8474d37a66de34c93d"}, BODY, KEY
    ),
    "kie": (
        {"x-webhook-timestamp": "1700000000", "x-webhook-signature": "HGvbeYDq30PCJtSjfrmwCw+NCi4H4gXwh+a9dRqlwfU="},
        KIE_BODY,
        KEY,
    ),
    "assemblyai": ({"x-webhook-token": "testsecret"}, BODY, KEY),
    "leonardo": ({"authorization": "Bearer testsecret"}, BODY, KEY),
    "deepgram": ({"authorization": "Basic " + base64.b64encode(b"user:testsecret").decode()}, BODY, b"user:testsecret"),
    "gemini_jwt": ({"webhook-signature": token({"exp": T0 + 60})}, BODY, RSA_KEY),
    "standard_ed25519": (
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPC"
            "Xe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
        },
        b'{"test": 2432232314}',
        base64.b64decode("1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="),
    ),
}  # fmt: skip
STAMPED = [name for name in GOLDEN if SCHEMES[name].stamp or SCHEMES[name].container == "fields"]
SIGNED = [name for name in GOLDEN if SCHEMES[name].kind not in ("equals", "basic", "jwt")]


def pairs(headers):
    return [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers.items()]


def clock(name):
    return 1614265330 if name == "standard_ed25519" else T0


def check(name, headers=None, body=None, *, keys=None, now=None):
    golden, genuine, key = GOLDEN[name]
    return SCHEMES[name].verify(
        pairs(golden if headers is None else headers) if not isinstance(headers, list) else headers,
        genuine if body is None else body,
        keys=[key] if keys is None else keys,
        now=clock(name) if now is None else now,
    )


def refused(name, *args, **changes):
    with pytest.raises(BadSignature) as caught:
        check(name, *args, **changes)
    return caught.value.reason


def signature_changed(name, change):
    headers = dict(GOLDEN[name][0])
    headers[SCHEMES[name].header] = change(headers[SCHEMES[name].header])
    return headers


def stamp_changed(name, stamp):
    headers = dict(GOLDEN[name][0])
    if SCHEMES[name].stamp:
        headers[SCHEMES[name].stamp] = stamp
    else:
        headers[SCHEMES[name].header] = headers[SCHEMES[name].header].replace("1700000000", stamp)
    return {header: value.encode("utf-8", "surrogateescape") for header, value in headers.items()}


def test_every_profile_that_can_be_verified_has_a_genuine_delivery():
    assert set(GOLDEN) == {name for name, scheme in SCHEMES.items() if scheme.kind != "none"}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_genuine_delivery_is_accepted_and_has_an_id(name):
    expected = GOLDEN[name][0].get(SCHEMES[name].id or "") or "sha256:" + hashlib.sha256(GOLDEN[name][1]).hexdigest()
    assert check(name) == expected


def test_cloudinary_s_other_digest_fits_its_vector():
    other = replace(SCHEMES["cloudinary"], digest="sha256")
    signature = "240297a1fa2f121dc0c47cc2711384ee835685e9da2341a21061dc3f1b826791"
    headers = pairs({"x-cld-timestamp": "1700000000", "x-cld-signature": signature})
    assert other.verify(headers, BODY, keys=[KEY], now=T0)


def test_the_published_vector_of_standard_webhooks_holds_under_svix_names_too():
    headers = {
        "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "svix-timestamp": "1614265330",
        "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    key = SVIX.decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert SVIX.verify(pairs(headers), b'{"test": 2432232314}', keys=[key], now=1614265330)


# Mutations


@pytest.mark.parametrize("name", GOLDEN)
def test_a_cut_signature_is_refused(name):
    assert refused(name, signature_changed(name, lambda text: text[:-4]))


@pytest.mark.parametrize("name", [name for name in SIGNED if name != "kie"])
def test_another_body_is_refused(name):
    assert refused(name, body=GOLDEN[name][1] + b" ") == "wrong-signature"


@pytest.mark.parametrize("name", GOLDEN)
def test_another_key_and_no_key_are_refused(name):
    if SCHEMES[name].kind != "jwt":
        assert refused(name, keys=[b"k" * 32]) == "wrong-signature"
    assert refused(name, keys=[]) == "no-secret"
    assert refused(name, keys=[b""]) == "no-secret"


@pytest.mark.parametrize("name", GOLDEN)
def test_the_old_key_counts_beside_the_new_one(name):
    assert check(name, keys=[b"k" * 32, GOLDEN[name][2]])


@pytest.mark.parametrize("name", GOLDEN)
def test_each_header_that_decides_may_come_only_once_and_must_come(name):
    genuine = pairs(GOLDEN[name][0])
    for pair in genuine:
        assert refused(name, [*genuine, pair]) == "repeated-header"
        assert refused(name, [other for other in genuine if other != pair]) == "missing-header"


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("text", ["", " ", "é", "v1,", "v1=", "t=", "=,=,=", "\udcff", "Bearer ", "sha256=", "a.b.c"])
def test_what_is_no_signature_is_refused(name, text):
    headers = {key: value.encode() for key, value in GOLDEN[name][0].items()}
    headers[SCHEMES[name].header] = text.encode("utf-8", "surrogateescape")
    assert refused(name, headers)


@pytest.mark.parametrize("name", STAMPED)
@pytest.mark.parametrize("stamp", ["NaN", "inf", "-1", "+1", "1_745", "1.5", " 1", "", "9" * 400, "١٧٠٠", "1e9"])
def test_a_timestamp_is_a_plain_integer(name, stamp):
    assert refused(name, stamp_changed(name, stamp)) == "malformed-timestamp"


@pytest.mark.parametrize("name", STAMPED)
def test_a_timestamp_too_far_off_is_refused_either_way(name):
    scheme = SCHEMES[name]
    assert check(name, now=clock(name) + scheme.past)
    assert check(name, now=clock(name) - scheme.future)
    assert refused(name, now=clock(name) + scheme.past + 1) == "stale-timestamp"
    assert refused(name, now=clock(name) - scheme.future - 1) == "future-timestamp"
    assert refused(name, now=float("nan")) == "future-timestamp"


@pytest.mark.parametrize("name", [name for name in GOLDEN if SCHEMES[name].container in ("list", "fields")])
def test_a_good_signature_counts_behind_bad_ones_but_not_behind_a_crowd(name):
    scheme = SCHEMES[name]
    good = GOLDEN[name][0][scheme.header]
    bad, glue = (f"{scheme.label},AAAA", " ") if scheme.container == "list" else (f"{scheme.label}=00", ",")
    unknown = "v9,x" if scheme.container == "list" else "v9=x"
    assert check(name, signature_changed(name, lambda _: glue.join([bad, "nonsense", unknown, good])))
    assert refused(name, signature_changed(name, lambda _: glue.join([*[bad] * 16, good]))) == "too-many-signatures"
    relabelled = good.replace(f"{scheme.label},", "v9,").replace(f"{scheme.label}=", "v9=")
    assert refused(name, signature_changed(name, lambda _: relabelled)) == "no-signature"


@pytest.mark.parametrize(("name", "other"), list(itertools.permutations(GOLDEN, 2)))
def test_a_delivery_for_one_source_is_none_for_another_with_another_secret(name, other):
    key = RSA_KEY if SCHEMES[other].kind == "jwt" else hashlib.sha256(other.encode()).digest()
    if GOLDEN[name][2] == key:
        return
    with pytest.raises(BadSignature):
        SCHEMES[other].verify(pairs(GOLDEN[name][0]), GOLDEN[name][1], keys=[key], now=clock(name))


def sloppy(name):
    """Yield the golden signature in spellings that a lax decoder takes for the same bytes."""
    scheme, header = SCHEMES[name], GOLDEN[name][0][SCHEMES[name].header]
    if scheme.container == "fields":
        before, text = header.split(f"{scheme.label}=")[0] + f"{scheme.label}=", header.split(f"{scheme.label}=")[1]
    else:
        before = {"list": f"{scheme.label},", "prefix": scheme.label, "bare": ""}[scheme.container]
        text = header.removeprefix(before)
    for form in (f"{text}\n", f" {text}", f"{text} ", text[:5] + "\n" + text[5:], f"{text}=", f"{text}\0"):
        if not (scheme.container == "list" and " " in form):  # there it separates
            yield before + form
    if scheme.encoding == "base64":
        yield before + text.rstrip("=")
        yield before + text + text
        yield before + text[:-2] + chr(ord(text[-2]) + 1) + "="  # bits that belong to no byte
        if {"+", "/"} & set(text):
            yield before + text.replace("+", "-").replace("/", "_")
    else:
        yield before + "0x" + text
        yield before + ":".join(text[at : at + 2] for at in range(0, len(text), 2))


@pytest.mark.parametrize("name", SIGNED)
def test_a_signature_has_one_spelling(name):
    for header in sloppy(name):
        if SCHEMES[name].container == "fields" and header.strip(" ") == GOLDEN[name][0][SCHEMES[name].header]:
            continue  # blanks may stand around a field
        assert refused(name, signature_changed(name, lambda _, header=header: header)), header


@pytest.mark.parametrize("name", [name for name in SIGNED if SCHEMES[name].encoding == "hex"])
def test_hexadecimal_may_be_written_in_capitals(name):
    scheme = SCHEMES[name]

    def capital(text):
        label = {"list": f"{scheme.label},", "prefix": scheme.label, "bare": "", "fields": f"{scheme.label}="}
        before, glue, digits = text.rpartition(label[scheme.container]) if label[scheme.container] else ("", "", text)
        return before + glue + digits.upper()

    assert check(name, signature_changed(name, capital))


def test_a_timestamp_in_milliseconds_is_judged_in_seconds():
    scheme = Scheme(kind="hmac", header="x", template="{ts}.{body}", stamp="t", unit="ms")
    headers = pairs({"t": "1700000000999", "x": hmac.new(KEY, b"1700000000999." + BODY, hashlib.sha256).hexdigest()})
    assert scheme.verify(headers, BODY, keys=[KEY], now=T0 + 300.9)
    with pytest.raises(BadSignature, match="stale-timestamp"):
        scheme.verify(headers, BODY, keys=[KEY], now=T0 + 301.5)


def test_two_timestamps_in_one_header_are_refused():
    assert refused("mux", {"mux-signature": f"t=1700000000,t=1700000001,v1={TS_BODY}"}) == "malformed-timestamp"


def test_a_signed_field_that_is_missing_or_no_text_is_refused():
    for body in (b"", b"[]", b'{"taskId":1}', b'{"taskId":"\\ud800"}', b"[" * 100_000):
        assert refused("kie", body=body) == "no-signed-field"


# Tokens


def test_no_algorithm_but_ours_is_taken_from_a_token():
    def forge(head):
        return hmac.digest(RSA_KEY, head, "sha256")

    for alg, sign in (("none", lambda _head: b"x"), ("HS256", forge), ("RS512", None), ("rs256", None)):
        headers = {"webhook-signature": token({"exp": T0 + 60}, alg=alg, sign=sign)}
        assert refused("gemini_jwt", headers) == "wrong-algorithm"
    assert refused("gemini_jwt", {"webhook-signature": token({"exp": T0 + 60}, sign=forge)}) == "wrong-signature"


def test_a_token_has_one_spelling():
    genuine = GOLDEN["gemini_jwt"][0]["webhook-signature"]
    for text in (
        f"{genuine}=",
        f"{genuine}==",
        genuine[:-1] + chr(ord(genuine[-1]) ^ 1),
        f"{genuine}\n",
        f" {genuine}",
    ):
        assert refused("gemini_jwt", {"webhook-signature": text})


@pytest.mark.parametrize("claims", [{}, {"exp": T0 - 301}, {"exp": True}, {"exp": "9999999999"}, {"exp": float("nan")}])
def test_a_token_must_say_until_when_it_counts(claims):
    assert refused("gemini_jwt", {"webhook-signature": token(claims)}) == "stale-timestamp"


def test_a_token_for_somebody_else_is_refused():
    scheme = replace(SCHEMES["gemini_jwt"], audience="me", issuer="them")
    for claims, good in (
        ({"aud": "me", "iss": "them"}, True),
        ({"aud": ["you", "me"], "iss": "them"}, True),
        ({"aud": "you", "iss": "them"}, False),
        ({"aud": "me"}, False),
        ({"iss": "them"}, False),
    ):
        headers = pairs({"webhook-signature": token({"exp": 10**400, **claims})})
        if good:
            assert scheme.verify(headers, BODY, keys=[RSA_KEY], now=T0)
        else:
            with pytest.raises(BadSignature, match="wrong-audience"):
                scheme.verify(headers, BODY, keys=[RSA_KEY], now=T0)


def test_what_is_signed_for_another_customer_of_the_provider_is_refused():
    """All of fal's customers get signatures by the same keys: theirs prove nothing about us."""
    golden, body, key = GOLDEN["fal"]
    for audience in ("user_2", "", None):
        scheme = replace(SCHEMES["fal"], audience=audience)
        with pytest.raises(BadSignature, match="wrong-audience"):
            scheme.verify(pairs(golden), body, keys=[key], now=T0)


# What no scheme may be


def test_what_is_not_signed_is_never_verified():
    with pytest.raises(BadSignature, match="unsigned"):
        Scheme(kind="none").verify([], b"{}", keys=[b"k" * 32], now=T0)


@pytest.mark.parametrize("template", ["{nonsense}", "{header}", "{body:x}", "{literal}"])
def test_a_template_that_means_nothing_is_refused(template):
    with pytest.raises(ConfigError, match="a signed string has no"):
        Scheme(kind="hmac", header="x", template=template)


@pytest.mark.parametrize(
    "changes", [{"id": "y"}, {"stamp": "y"}, {"account": "y"}, {"container": "fields", "label": "v1"}]
)
def test_an_id_an_account_or_a_timestamp_that_is_not_signed_is_none(changes):
    with pytest.raises(ConfigError, match="not signed"):
        Scheme(kind="hmac", header="x", **changes)


@pytest.mark.parametrize("template", ["{id}.{body}", "{ts}.{body}"])
def test_what_is_signed_must_be_in_the_request(template):
    with pytest.raises(ConfigError, match="needs the header"):
        Scheme(kind="hmac", header="x", template=template)


def test_a_literal_in_a_signed_string_is_what_it_is():
    scheme = Scheme(kind="hmac", header="x", template="100%b {body}%")
    signature = hmac.new(KEY, b"100%b " + BODY + b"%", hashlib.sha256).hexdigest()
    assert scheme.verify([(b"x", signature.encode())], BODY, keys=[KEY], now=T0)


def test_secrets_without_padding_are_the_same_secrets():
    """As the suite of Standard Webhooks has them, D1 V3."""
    assert STANDARD.decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBr") == base64.b64decode(
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBg=="
    )


def test_a_weak_secret_is_refused_and_not_named():
    for scheme in (SCHEMES["mux"], SCHEMES["standard"], SCHEMES["fal"], SCHEMES["gemini_jwt"]):
        for secret in ("", "changeme", "q7q8", "é\udcff"):
            with pytest.raises(ConfigError) as caught:
                scheme.decode_secret(secret)
            assert not secret or secret not in str(caught.value)


def test_a_whsec_is_text_where_the_provider_takes_it_for_text():
    assert SCHEMES["heygen"].decode_secret("whsec_Zm9vYmFyYmF6cXV4") == b"whsec_Zm9vYmFyYmF6cXV4"
    assert SCHEMES["wavespeed"].decode_secret("whsec_Zm9vYmFyYmF6cXV4cXV4") == b"Zm9vYmFyYmF6cXV4cXV4"
    assert SCHEMES["standard"].decode_secret("whsec_Zm9vYmFyYmF6cXV4cXV4eA==") == b"foobarbazquxquxx"


@pytest.mark.parametrize("name", [name for name in GOLDEN if SCHEMES[name].kind in ("hmac", "hash", "equals", "basic")])
def test_as_much_is_compared_whatever_matches_and_however_far(name, monkeypatch):
    """Counted, not timed: each key against each signature, whole, in one constant-time comparison."""
    counted = []
    compare = hmac.compare_digest
    monkeypatch.setattr(schemes.hmac, "compare_digest", lambda a, b: counted.append((len(a), len(b))) or compare(a, b))
    scheme = replace(SCHEMES[name])  # compiled anew, with the counter
    golden, body, key = GOLDEN[name]
    text = golden[scheme.header]
    at = len(text) - 4 if text.endswith("=") else len(text) - 3
    seen = set()
    for keys in ([key, b"k" * 32], [b"k" * 32, key], [b"k" * 32, b"j" * 32]):
        for changed in (at, at // 2 if scheme.container == "bare" else at - 1):
            other = text[:changed] + ("0" if text[changed] != "0" else "1") + text[changed + 1 :]
            for header in (text, other):
                counted.clear()
                with contextlib.suppress(BadSignature):
                    scheme.verify(pairs(golden | {scheme.header: header}), body, keys=keys, now=T0)
                seen.add(tuple(counted))
    assert len(seen) == 1
    assert len(seen.pop()) == 2


@pytest.mark.parametrize("name", [name for name in GOLDEN if SCHEMES[name].container in ("list", "fields")])
def test_each_of_several_signatures_is_compared_with_each_key(name, monkeypatch):
    if SCHEMES[name].kind != "hmac":
        return
    counted = []
    compare = hmac.compare_digest
    monkeypatch.setattr(schemes.hmac, "compare_digest", lambda a, b: counted.append(len(a)) or compare(a, b))
    scheme = replace(SCHEMES[name])
    golden, body, key = GOLDEN[name]
    glue, bad = (" ", f"{scheme.label},AAAA") if scheme.container == "list" else (",", f"{scheme.label}=00")
    for header in (f"{golden[scheme.header]}{glue}{bad}", f"{bad}{glue}{golden[scheme.header]}"):
        counted.clear()
        assert scheme.verify(pairs(golden | {scheme.header: header}), body, keys=[key, b"k" * 32], now=T0)
        assert len(counted) == 4


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(st.sampled_from(sorted(SCHEMES)), st.data(), st.binary(max_size=64))
def test_nothing_but_bad_signature_comes_out(name, data, body):
    scheme = SCHEMES[name]
    values = st.binary(max_size=40) | st.sampled_from([value for _, value in pairs(GOLDEN.get(name, [{}])[0])] or [b""])
    headers = [(header, data.draw(values)) for header in sorted(scheme.names)]
    key = GOLDEN[name][2] if name in GOLDEN else KEY
    try:
        scheme.verify(headers, body, keys=[key], now=data.draw(st.floats()))
    except BadSignature:
        return
    assert scheme.kind in ("equals", "basic", "jwt") or name == "kie"


def test_a_sender_signs_like_github_or_stripe_under_names_of_its_own():
    github, stripe = github_like("x-acme"), stripe_like("x-acme")
    assert github.verify([(b"x-acme", b"sha256=" + ONLY_BODY.encode())], BODY, keys=[KEY], now=T0)
    assert stripe.verify([(b"x-acme", f"t=1700000000,v1={TS_BODY}".encode())], BODY, keys=[KEY], now=T0)


def test_a_key_of_another_kind_verifies_nothing():
    ed = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert refused("gemini_jwt", keys=[ed, b"junk"]) == "wrong-signature"


def test_of_200_000_random_deliveries_only_bad_signature_comes_out():
    dice = random.Random(200_000)
    crumbs = [b"", b"t=1700000000", b"v1=", b"v1,", b",", b" ", b"=", b"1700000000", b"\xff", b"AAAA", b".", b"9" * 400]
    names = sorted(SCHEMES)
    for _ in range(200_000):
        scheme = SCHEMES[dice.choice(names)]
        headers = [(name, b"".join(dice.choices(crumbs, k=3))) for name in scheme.names]
        try:
            scheme.verify(headers, dice.choice((b"", b"{}", KIE_BODY)), keys=[b"k" * 32], now=T0)
        except BadSignature:
            continue
        pytest.fail(f"accepted: {headers}")


SPELLED = [
    (
        STANDARD,
        {"webhook-id": "msg_1", "webhook-timestamp": "1700000000", "webhook-signature": "v1,AAAA"},
        "msg_1.1700000000.<the body, 8 bytes>",
    ),
    (
        Scheme(kind="hmac", template="{ts},{body}", header="x-sig", container="fields", label="v1"),
        {"x-sig": "t=1700000000,v1=00"},
        "1700000000,<the body, 8 bytes>",
    ),
    (
        Scheme(kind="hash", template="{body}{ts}{secret}", header="x-sig", stamp="x-at"),
        {"x-sig": "00", "x-at": "1700000000"},
        "<the body, 8 bytes>1700000000<the secret>",
    ),
]


@pytest.mark.parametrize(("scheme", "headers", "told"), SPELLED)
def test_what_is_signed_is_spelled_out_without_the_body_and_the_secret(scheme, headers, told):
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert scheme.signed(pairs, b'{"id":1}') == told


def test_a_signed_string_that_lacks_something_is_an_error_like_any_other():
    with pytest.raises(BadSignature, match="missing-header"):
        STANDARD.signed([], b"{}")
    scheme = Scheme(kind="hmac", template="{json:/id}", header="x-sig")
    with pytest.raises(BadSignature, match="no-signed-field"):
        scheme.signed([(b"x-sig", b"00")], b"{}")
    assert scheme.signed([(b"x-sig", b"00")], b'{"id":"a"}') == "a"


PROOF = hmac.digest(b"k" * 16 + b"ey", b"body", "sha256")
URL_SAFE = base64.urlsafe_b64encode(PROOF).rstrip(b"=")


@pytest.mark.parametrize(
    ("changes", "header"),
    [
        ({"encoding": "base64url"}, URL_SAFE),
        ({"container": "list", "label": "v1", "separator": ";"}, b"v1,00;v1," + PROOF.hex().encode()),
        ({"container": "prefix", "label": "mac ", "encoding": "base64url"}, b"mac " + URL_SAFE),
    ],
)
def test_signatures_are_found_however_they_are_written(changes, header):
    scheme = Scheme(kind="hmac", header="x-sig", **changes)
    keys = [b"k" * 16 + b"ey"]
    assert scheme.verify([(b"x-sig", header)], b"body", keys=keys, now=0).startswith("sha256:")
    for wrong in (header + b"=", header[:-2], header.replace(b"-", b"+").replace(b"_", b"/") + b"A", b""):
        with pytest.raises(BadSignature):
            scheme.verify([(b"x-sig", wrong)], b"body", keys=keys, now=0)


def test_fields_may_be_apart_by_another_separator():
    scheme = Scheme(kind="hmac", template="{ts}.{body}", header="x-sig", container="fields", label="s", separator=";")
    proof = hmac.digest(b"key", b"1700000000.body", "sha256").hex()
    header = f"t=1700000000;s={proof}".encode()
    assert scheme.verify([(b"x-sig", header)], b"body", keys=[b"key"], now=1700000000)
    with pytest.raises(BadSignature):
        scheme.verify([(b"x-sig", header.replace(b";", b","))], b"body", keys=[b"key"], now=1700000000)


def test_a_secret_in_hexadecimal_is_its_bytes_and_what_is_none_is_refused_without_naming_it():
    scheme = Scheme(kind="hmac", header="x-sig", key="hex")
    assert scheme.decode_secret("00112233445566778899aabbccddeeff" * 2) == bytes.fromhex(
        "00112233445566778899aabbccddeeff" * 2
    )
    for wrong in ("", "00", "zz" * 20, "00" * 32, "0" * 63):
        with pytest.raises(ConfigError) as told:
            scheme.decode_secret(wrong)
        assert not wrong or len(wrong) < 3 or wrong not in str(told.value)
