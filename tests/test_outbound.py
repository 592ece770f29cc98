"""The guarded client: where it goes, where it does not, and what it tells on the way."""

import asyncio
import datetime as dt
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from receiver import outbound
from receiver.errors import AddressRefused, ConfigError
from receiver.outbound import create_client, is_public

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


TLS = ssl.create_default_context()


def client_for(**given: Any) -> httpx.AsyncClient:
    """Make a client without reading all authorities anew, which takes longer than a test."""
    return create_client(**{"tls": TLS} | given)


@dataclass
class Server:
    """An HTTP server on a socket that answers with the bytes it is told, by path, and remembers what it was asked."""

    answers: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    endless: bytes = b""
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.requests.append(request)
                writer.write(self.answers.get(request.split()[1], OK))
                await writer.drain()
                while self.endless:
                    writer.write(self.endless)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def redirect(self, path: str, to: str, *, headers: str = "Content-Length: 0\r\n") -> None:
        self.answers[path] = f"HTTP/1.1 302 Found\r\nLocation: {to}\r\n{headers}\r\n".encode()


@asynccontextmanager
async def running(host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    listener = await asyncio.start_server(server.serve, host, port, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running() as made:
        yield made


def resolver(*answers: Sequence[str]) -> Callable[[str], Awaitable[Sequence[str]]]:
    """Each question gets the next answer, the last one again and again."""
    left = list(answers)

    async def resolve(_host: str) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a socket would have been opened to; none is."""
    found: list[str] = []

    async def connect_tcp(_self: object, host: str, *_rest: object) -> None:
        found.append(host)
        raise httpcore.ConnectError("refused")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect_tcp)
    return found


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://127。0。0。1/",
        "https://0/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:8.8.8.8]/",
        "https://[::127.0.0.1]/",
        "https://[2002:7f00:1::]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[64:ff9b:1::a9fe:a9fe]/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://[2001:db8::1]/",
        "https://[2001:0:7f00:1::]/",
        "https://10.0.0.1/",
        "https://172.31.255.255/",
        "https://192.168.1.1/",
        "https://192.0.0.192/",
        "https://169.254.169.254/",
        "https://100.64.0.1/",
        "https://100.100.100.200/",
        "https://168.63.129.16/",
        "https://224.0.0.1/",
        "https://240.0.0.1/",
        "https://255.255.255.255/",
        "https://198.18.0.1/",
        "https://0.1.2.3/",
    ],
)
async def test_no_spelling_of_an_address_inside_is_connected_to(url: str, connected: list[str]) -> None:
    async with client_for() as client:
        with pytest.raises((AddressRefused, httpx.InvalidURL)):
            await client.get(url)
    assert connected == []


@pytest.mark.parametrize("host", ["0177.0.0.1", "127.0.0.1", "localhost", "LOCALHOST", "::1"])
async def test_the_guard_does_not_lean_on_how_httpx_reads_urls(host: str, connected: list[str]) -> None:
    backend = outbound._Backend(outbound._Inside.parse(()), outbound._addresses_of, encrypted=True)
    with pytest.raises(AddressRefused):
        await backend.connect_tcp(host, 443)
    assert connected == []


@pytest.mark.parametrize("host", ["evil.example", "EVIL.example", "evil.example."])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "169.254.169.254", "fe80::1%1"])
async def test_a_name_that_leads_inside_is_refused(host: str, address: str, connected: list[str]) -> None:
    async with client_for(resolve=resolver([address])) as client:
        with pytest.raises(AddressRefused, match=r"evil\.example"):
            await client.get(f"https://{host}/")
    assert connected == []


async def test_one_address_inside_among_public_ones_is_enough_to_refuse(connected: list[str]) -> None:
    async with client_for(resolve=resolver(["93.184.216.34", "10.0.0.1"])) as client:
        with pytest.raises(AddressRefused):
            await client.get("https://mixed.example/")
    assert connected == []


async def test_a_name_that_changes_is_connected_to_where_it_was_judged(connected: list[str]) -> None:
    async with client_for(resolve=resolver(["93.184.216.34"], ["127.0.0.1"])) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("https://rebinding.example/")
        assert connected == ["93.184.216.34"]
        with pytest.raises(AddressRefused):
            await client.get("https://rebinding.example/")
    assert connected == ["93.184.216.34"]


async def test_a_public_address_behind_nat64_is_connected_to(connected: list[str]) -> None:
    async with client_for(resolve=resolver(["64:ff9b::5db8:d822"])) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("https://six.example/")
    assert connected == ["64:ff9b::5db8:d822"]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "ftp://example.com/",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "/relative",
        "//example.com/",
        "data:text/plain,hello",
        "https://user:secret@example.com/",
        "https://example.com@127.0.0.1/",
        "https://127.0.0.1\\@example.com/",
        "https://:@example.com/",
    ],
)
async def test_odd_urls_are_refused_before_anything_is_asked(url: str, connected: list[str]) -> None:
    async with client_for(resolve=resolver(["93.184.216.34"])) as client:
        with pytest.raises((AddressRefused, httpx.InvalidURL)) as refused:
            await client.get(url)
    assert connected == []
    assert "secret" not in str(refused.value)


async def test_a_url_without_a_host_is_refused() -> None:
    async with client_for() as client:
        with pytest.raises(AddressRefused, match="without a host"):
            await client.send(httpx.Request("GET", "https:///etc"))


async def test_plain_http_is_refused_even_with_public_addresses(connected: list[str]) -> None:
    async with client_for(allow=["127.0.0.1"], resolve=resolver(["93.184.216.34"])) as client:
        with pytest.raises(AddressRefused, match="only https"):
            await client.get("http://example.com/")
    assert connected == []


@pytest.mark.parametrize(
    ("allow", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.0/8", "127.0.0.1"),
        ("127.0.0.0/8", "inside.example"),
        ("inside.example", "inside.example"),
        ("Inside.Example.", "INSIDE.example"),
        ("inside.example", "inside.example."),
    ],
)
async def test_what_is_allowed_may_be_inside_and_plain(server: Server, allow: str, host: str) -> None:
    async with client_for(allow=["", allow], resolve=resolver(["127.0.0.1"])) as client:
        answer = await client.get(f"http://{host}:{server.port}/")
    assert answer.text == "ok"


async def test_an_ipv6_address_may_be_allowed_with_brackets(connected: list[str]) -> None:
    async with client_for(allow=["[::1]"]) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://[::1]/")
    assert connected == ["::1"]


async def test_allowing_one_host_allows_no_other(connected: list[str]) -> None:
    async with client_for(allow=["10.1.0.0/16", "inside.example"], resolve=resolver(["10.2.0.1"])) as client:
        for host in ("other.example", "not-inside.example", "inside.example.com"):
            with pytest.raises(AddressRefused):
                await client.get(f"https://{host}/")
    assert connected == []


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_one_address_that_is_allowed_does_not_allow_the_others(scheme: str, connected: list[str]) -> None:
    async with client_for(allow=["10.1.0.0/16"], resolve=resolver(["10.1.0.1", "10.2.0.1"])) as client:
        with pytest.raises(AddressRefused):
            await client.get(f"{scheme}://mixed.example/")
    assert connected == []


@pytest.mark.parametrize("entry", ["http://127.0.0.1", "localhost:8000", "10.0.0.1/8", "10.0.0.0/33", "a b", "*"])
def test_an_entry_that_would_never_match_is_refused_at_the_start(entry: str) -> None:
    with pytest.raises(ConfigError, match="RECEIVER_OUTBOUND_ALLOW"):
        client_for(allow=[entry])


@pytest.mark.parametrize(
    "to",
    [
        "https://169.254.169.254/latest/meta-data/?X-Signature=hush",
        "https://[::1]/?X-Signature=hush",
        "https://evil.example/?X-Signature=hush",
        "http://8.8.8.8/?X-Signature=hush",
        "https://user:hush@8.8.8.8/",
        "file:///etc/passwd?hush",
        "ftp://8.8.8.8/hush",
    ],
)
async def test_a_redirect_is_judged_like_a_first_request_and_its_url_is_told_to_nobody(server: Server, to: str) -> None:
    server.redirect("/", to)

    async def resolve(host: str) -> Sequence[str]:
        return ["10.0.0.1" if host == "evil.example" else host]

    async with client_for(allow=["127.0.0.1"], resolve=resolve) as client:
        with pytest.raises(AddressRefused) as refused:
            await client.get(f"http://127.0.0.1:{server.port}/")
    assert "hush" not in str(refused.value)
    assert len(server.requests) == 1


async def test_a_redirect_to_a_malformed_address_is_an_error_of_httpx(server: Server) -> None:
    server.redirect("/", "https://0177.0.0.1/")
    async with client_for(allow=["127.0.0.1"]) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"http://127.0.0.1:{server.port}/")


async def test_three_redirects_are_followed_and_no_fourth(server: Server) -> None:
    for number in range(4):
        server.redirect(f"/{number}", f"/{number + 1}")
    async with client_for(allow=["127.0.0.1"]) as client:
        assert (await client.get(f"http://127.0.0.1:{server.port}/1")).text == "ok"
        with pytest.raises(httpx.TooManyRedirects):
            await client.get(f"http://127.0.0.1:{server.port}/0")


async def test_the_endless_body_of_a_redirect_is_not_read(server: Server) -> None:
    server.redirect("/", "/end", headers="Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n")
    server.endless = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    async with (
        asyncio.timeout(5),
        client_for(allow=["127.0.0.1"]) as client,
        client.stream("GET", f"http://127.0.0.1:{server.port}/") as answer,
    ):
        assert (answer.status_code, answer.url.path) == (200, "/end")


async def test_authorization_goes_to_no_other_host(server: Server) -> None:
    server.redirect("/", f"http://other.example:{server.port}/there")
    server.redirect("/same", "/here")
    async with client_for(allow=["127.0.0.0/8"], resolve=resolver(["127.0.0.1"])) as client:
        for path in ("", "same"):
            url = f"http://one.example:{server.port}/{path}"
            assert (await client.get(url, headers={"authorization": "Bearer hush"})).text == "ok"
    sent = {request.split()[1]: "Bearer hush" in request for request in server.requests}
    assert sent == {"/": True, "/there": False, "/same": True, "/here": True}


async def test_cookies_are_not_kept(server: Server) -> None:
    server.answers["/"] = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=1\r\n\r\n")
    async with client_for(allow=["127.0.0.1"]) as client:
        for _ in range(2):
            await client.get(f"http://127.0.0.1:{server.port}/")
        assert not client.cookies
    assert not any("cookie" in request.lower() for request in server.requests)


async def test_proxies_of_the_environment_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    async with client_for(allow=["127.0.0.1"]) as client:
        assert (await client.get(f"http://127.0.0.1:{server.port}/")).text == "ok"


async def test_answers_other_than_redirects_come_as_they_are(server: Server) -> None:
    body = gzip.compress(b"text")
    head = f"HTTP/1.1 404 Not Found\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    server.answers["/"] = head.encode() + body
    async with client_for(allow=["127.0.0.1"]) as client:
        answer = await client.get(f"http://127.0.0.1:{server.port}/")
    assert (answer.status_code, answer.text) == (404, "text")


async def test_a_server_that_says_nothing_is_left_after_the_timeout(server: Server) -> None:
    server.answers["/"] = b"HTTP/1.1 200 OK\r\n"
    async with client_for(allow=["127.0.0.1"], timeout=0.05) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(f"http://127.0.0.1:{server.port}/")


async def test_a_name_server_that_says_nothing_is_left_after_the_timeout() -> None:
    async def resolve(_host: str) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    async with client_for(timeout=0.05, resolve=resolve) as client:
        with pytest.raises(httpx.ConnectTimeout, match=r"slow\.example"):
            await client.get("https://slow.example/")


@pytest.mark.parametrize("problem", [OSError("no such host"), UnicodeError("label too long")])
async def test_an_unknown_name_is_an_error_of_httpx(problem: Exception) -> None:
    async def resolve(_host: str) -> Sequence[str]:
        raise problem

    async with client_for(resolve=resolve) as client:
        with pytest.raises(httpx.ConnectError, match=r"gone\.example is not known"):
            await client.get("https://gone.example/")


async def test_a_name_without_addresses_is_an_error_of_httpx() -> None:
    async with client_for(resolve=resolver([])) as client:
        with pytest.raises(httpx.ConnectError, match=r"empty\.example has no address"):
            await client.get("https://empty.example/")


async def test_a_few_addresses_are_tried_both_families_in_turn(connected: list[str]) -> None:
    found = ["2606:2800::1", "2606:2800::2", "2606:2800::3", "93.184.216.34"]
    async with client_for(resolve=resolver(found)) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("https://both.example/")
    assert connected == ["2606:2800::1", "93.184.216.34", "2606:2800::2", "2606:2800::3"]


async def test_the_addresses_of_a_host_share_the_time_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []

    async def connect_tcp(_self: object, _host: str, _port: int, share: float | None, *_: object) -> None:
        shares.append(share)
        raise httpcore.ConnectTimeout

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect_tcp)
    async with client_for(resolve=resolver(["93.184.216.34", "93.184.216.35"])) as client:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get("https://slow.example/")
        with pytest.raises(httpx.ConnectTimeout):
            await client.get("https://slow.example/", timeout=None)
    assert shares == [outbound.CONNECT_TIMEOUT / 2] * 2 + [None] * 2


async def test_the_next_address_is_tried_when_one_does_not_answer(server: Server) -> None:
    # Only the second one has a listener.
    async with client_for(allow=["127.0.0.0/8"], resolve=resolver(["127.0.0.9", "127.0.0.1"])) as client:
        assert (await client.get(f"http://inside.example:{server.port}/")).text == "ok"


async def test_the_certificate_must_be_for_the_name_not_the_address(tmp_path: Path) -> None:
    server_tls, client_tls = certificate_for("media.example", tmp_path)
    async with (
        running(tls=server_tls) as server,
        client_for(allow=["127.0.0.0/8"], resolve=resolver(["127.0.0.1"]), tls=client_tls) as client,
    ):
        assert (await client.get(f"https://media.example:{server.port}/")).text == "ok"
        for other in ("other.example", "127.0.0.1"):
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(f"https://{other}:{server.port}/")


async def test_an_unknown_authority_is_refused_by_default(tmp_path: Path) -> None:
    server_tls, _ = certificate_for("media.example", tmp_path)
    async with (
        running(tls=server_tls) as server,
        create_client(allow=["127.0.0.0/8"], resolve=resolver(["127.0.0.1"])) as client,
    ):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(f"https://media.example:{server.port}/")


@given(st.ip_addresses())
def test_no_address_that_python_calls_special_is_public(address: IPv4Address | IPv6Address) -> None:
    special = not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified
    embedded = isinstance(address, IPv6Address) and address in outbound._NAT64
    assert not (is_public(address) and special) or embedded


@given(st.ip_addresses(v=4))
def test_an_address_is_no_more_public_when_it_is_embedded(address: IPv4Address) -> None:
    number = int(address)
    nat64 = IPv6Address((0x64_FF9B << 96) | number)
    assert is_public(nat64) == is_public(address)
    for wrapped in (0xFFFF << 32 | number, number, 0x2002 << 112 | number << 80, 0x20010000 << 96 | number):
        assert not is_public(IPv6Address(wrapped))


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111"])
def test_ordinary_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


def certificate_for(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server with a certificate for `name` needs, and what a client that trusts it needs."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(private + certificate)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=certificate.decode())


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_an_endless_answer_that_is_read_at_once_is_cut_off(server: Server) -> None:
    server.answers["/?key=hush"] = CHUNKED
    server.endless = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    async with client_for(allow=["127.0.0.1"]) as client:
        with pytest.raises(httpx.ReadError, match=r"the answer of 127\.0\.0\.1 is larger than 16777216 bytes"):
            await client.get(f"http://127.0.0.1:{server.port}/?key=hush")


async def test_a_small_answer_that_unpacks_to_a_huge_one_is_cut_off(server: Server) -> None:
    packed = gzip.compress(b"\0" * 2**25)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    server.answers["/"] = head.encode() + packed
    async with client_for(allow=["127.0.0.1"]) as client:
        with pytest.raises(httpx.ReadError, match="larger than"):
            await client.get(f"http://127.0.0.1:{server.port}/")


async def test_an_answer_that_trickles_in_is_cut_off_after_the_longest_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "LONGEST_EXCHANGE", 0.05)
    server.answers["/?key=hush"] = CHUNKED + b"1\r\nx\r\n"
    async with client_for(allow=["127.0.0.1"]) as client:
        with pytest.raises(httpx.ReadTimeout, match=r"127\.0\.0\.1 took longer than 0\.05 s") as late:
            await client.get(f"http://127.0.0.1:{server.port}/?key=hush")
    assert "hush" not in str(late.value)


async def test_a_streamed_answer_may_be_as_large_as_it_is(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "LARGEST_ANSWER", 1)
    async with (
        client_for(allow=["127.0.0.1"]) as client,
        client.stream("GET", f"http://127.0.0.1:{server.port}/") as answer,
    ):
        assert await answer.aread() == b"ok"


async def test_an_answer_read_at_once_is_as_httpx_gives_it(server: Server) -> None:
    packed = gzip.compress("gr\u00fc\u00dfe".encode("latin-1"))
    server.answers["/"] = (
        b"HTTP/1.1 404 Not Here\r\nContent-Encoding: gzip\r\nContent-Type: text/plain; charset=latin-1\r\n"
        b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: %d\r\n\r\n%b" % (len(packed), packed)
    )
    server.redirect("/from", "/")
    async with client_for(allow=["127.0.0.1"]) as client:
        answer = await client.get(f"http://127.0.0.1:{server.port}/from")
    assert (answer.status_code, answer.reason_phrase, answer.text) == (404, "Not Here", "gr\u00fc\u00dfe")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert [past.status_code for past in answer.history] == [302]
    assert answer.request.url.path == "/"
    with pytest.raises(httpx.HTTPStatusError):
        answer.raise_for_status()
