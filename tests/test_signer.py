"""What we sign is what others verify; a secret that cannot sign is refused, and none is shown."""

import base64

import pytest
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from receiver import Signer
from receiver.errors import ConfigError
from receiver.schemes import STANDARD
from receiver.signatures import decode_secret, new_pair, new_secret
from receiver.sources.profiles import STANDARD_ED25519

BODY = b'{"id": "evt_1"}'
NOW = 1793232000.9


def raw(headers):
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def test_each_secret_makes_a_signature_of_its_kind_in_order():
    private, public = new_pair()
    old, new = new_secret(), new_secret()
    headers = Signer(f" {new},{old}, {private} ,").headers(id="evt_1", timestamp=NOW, body=BODY)
    assert [part.split(",")[0] for part in headers["webhook-signature"].split()] == ["v1", "v1", "v1a"]
    for secret in (old, new):
        assert STANDARD.verify(raw(headers), BODY, keys=[decode_secret(secret)], now=NOW) == "evt_1"
    key = STANDARD_ED25519.decode_secret(public)
    assert STANDARD_ED25519.verify(raw(headers), BODY, keys=[key], now=NOW) == "evt_1"


def test_a_64_byte_secret_key_is_understood_as_other_tools_write_it():
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    both = base64.b64encode(key.private_bytes_raw() + public).decode()
    headers = Signer(f"whsk_{both}").headers(id="evt_1", timestamp=NOW, body=BODY)
    signature = base64.b64decode(headers["webhook-signature"].removeprefix("v1a,"))
    Ed25519PublicKey.from_public_bytes(public).verify(signature, b"evt_1.1793232000." + BODY)
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(ConfigError, match="do not belong together"):
        Signer("whsk_" + base64.b64encode(key.private_bytes_raw() + other).decode())


def test_the_reference_library_makes_the_same_signature():
    from datetime import UTC, datetime

    secret = new_secret()
    stamp = datetime.fromtimestamp(int(NOW), UTC)
    theirs = standardwebhooks.Webhook(secret).sign("evt_1", stamp, BODY.decode())
    assert Signer(secret).headers(id="evt_1", timestamp=NOW, body=BODY)["webhook-signature"] == theirs


@pytest.mark.parametrize("secrets", ["", " , ", "whsec_", "whsec_c2hvcnQ=", "whsk_c2hvcnQ=", "whsk_?", "changeme"])
def test_what_cannot_sign_is_refused_with_what_to_do(secrets):
    with pytest.raises(ConfigError, match="receiver secrets signing"):
        Signer(secrets)


def test_it_does_not_show_its_secrets():
    secret = new_secret()
    assert secret not in repr(Signer(secret))
    assert secret not in str(vars(Signer(secret))["_sign"])
