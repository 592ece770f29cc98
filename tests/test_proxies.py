"""Whom a delivery is from when proxies pass it on, and who cannot lie about it."""

import pytest

from receiver.errors import ConfigError
from receiver.proxies import Proxies


def sender(trusted, client, *said):
    headers = [(b"host", b"h"), *((b"x-forwarded-for", value.encode()) for value in said)]
    return Proxies(trusted).sender({"client": client and (client, 1), "headers": headers})


@pytest.mark.parametrize(
    ("client", "said", "found"),
    [
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, <script>"], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("203.0.113.9", ["198.51.100.7"], "203.0.113.9"),
        (None, ["198.51.100.7"], None),
    ],
)
def test_the_sender_is_the_nearest_that_is_no_proxy_of_ours(client, said, found):
    assert sender(["10.0.0.0/8"], client, *said) == found


def test_without_proxies_of_ours_nobody_is_believed():
    assert sender([], "203.0.113.9", "198.51.100.7") == "203.0.113.9"


def test_what_is_no_network_is_named():
    with pytest.raises(ConfigError, match=r"RECEIVER_TRUSTED_PROXIES.*my-proxy"):
        Proxies(["my-proxy"])
