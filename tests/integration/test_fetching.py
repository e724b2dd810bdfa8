"""Fetching a stranger's URL: whom it never calls, and that it ends."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.errors import UrlNotAllowed, UrlUnreachable
from api.fetching import Fetcher, look_up
from nst_core.errors import BadInput, FileTooLarge
from tests.hosts import Host, answer, certificate, hosting, redirect, trickle  # noqa: F401

MANY = 10**6


@pytest.fixture(autouse=True)
def _no_names_and_no_other_hosts(monkeypatch: pytest.MonkeyPatch):
    """Let no test look up a name or send anything to another machine."""
    real_connect = socket.socket.connect

    def connect(self: socket.socket, address: tuple) -> None:
        assert address[0].startswith("127."), f"connected to {address}"
        real_connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def host() -> Iterator[Host]:
    with hosting({"/a.png": answer(b"picture")}) as host:
        yield host


def on_loopback(address: str) -> bool:
    return address == "127.0.0.1"


def to_loopback(name: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def local(**changes: object) -> Fetcher:
    """Return a fetcher whose internet is this machine."""
    defaults = {"schemes": ("http",), "allows": on_loopback, "resolve": to_loopback}
    return Fetcher(**{**defaults, **changes})


def refusal(fetcher: Fetcher, url: str, *, max_bytes: int = MANY) -> BadInput:
    with pytest.raises(BadInput) as caught:
        fetcher.fetch(url, max_bytes=max_bytes)
    assert caught.value.hint
    return caught.value


def test_file_is_fetched_whatever_type_it_claims(host):
    host.plays["/a%20b?c=d"] = answer(b"\0picture", Content_Type="text/html")

    data = local().fetch(f"http://pictures.example:{host.port}/a b?c=d#e", max_bytes=MANY)

    assert data == b"\0picture"


def test_host_is_asked_by_its_name_with_nothing_of_ours(host, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    local().fetch(f"http://pictures.example:{host.port}/a.png", max_bytes=MANY)

    ((path, headers),) = host.asked
    assert path == "/a.png"
    assert headers.pop("Host") == f"pictures.example:{host.port}"
    assert headers.pop("User-Agent") == "nst-server"
    assert set(headers) == {"Accept", "Accept-Encoding", "Connection"}


def test_tls_is_verified_for_the_name_not_the_address(certificate):  # noqa: F811 - fixture
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    names = []
    server.sni_callback = lambda _, name, __: names.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate))
    fetcher = local(schemes=("https",), trust=trusting)

    with hosting({"/a.png": answer(b"picture")}, context=server) as host:
        data = fetcher.fetch(f"https://pictures.example:{host.port}/a.png", max_bytes=MANY)
        other = refusal(fetcher, f"https://elsewhere.example:{host.port}/a.png")
        untrusted = refusal(local(schemes=("https",)), f"https://pictures.example:{host.port}/")

    assert data == b"picture"
    assert (other.code, untrusted.code) == ("url_unreachable", "url_unreachable")
    assert "certificate" in other.message
    assert names == ["pictures.example", "elsewhere.example", "pictures.example"]


@pytest.mark.parametrize(
    "url",
    [
        "http://pictures.example/a.png",
        "ftp://pictures.example/a.png",
        "file:///etc/passwd",
        "gopher://pictures.example/",
        "//pictures.example/a.png",
        "pictures.example/a.png",
        "/etc/passwd",
        "",
        "https://",
        "https:///a.png",
        "https://ann:secret@pictures.example/",
        "https://pictures.example:0/",
        "https://pictures.example:99999/",
        "https://pictures.example:x/",
        "https://pictures.example/\r\nHost: other",
        "https://[::1/",
        "https://" + "a" * 70_000,
    ],
)
def test_url_of_another_form_is_refused_unresolved(url):
    def resolve(name: str, port: int) -> list[str]:
        pytest.fail("it was resolved")

    assert refusal(Fetcher(resolve=resolve), url).code == "url_not_allowed"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[fe80::1]",
        "[fc00::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",  # noqa: S104 - nobody binds to it
        "100.64.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127。0。0。1",
        "localhost",
    ],
)
def test_address_of_this_network_is_refused_however_it_is_spelt(host):
    assert refusal(Fetcher(resolve=look_up), f"https://{host}/").code == "url_not_allowed"


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["8.8.8.8", "::1"], ["fe80::1%eth0"], []],
)
def test_name_is_refused_for_any_of_its_addresses_and_none_is_told(addresses):
    error = refusal(Fetcher(resolve=lambda *_: addresses), "https://pictures.example/")

    assert error.code == "url_not_allowed"
    assert not any(address in error.message + error.hint for address in addresses)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")])
def test_name_that_does_not_resolve_is_unreachable(error):
    def resolve(name: str, port: int) -> list[str]:
        raise error

    assert refusal(Fetcher(resolve=resolve), "https://a..b/").code == "url_unreachable"


def test_address_that_was_judged_is_the_one_that_is_called(host):
    """A name that resolves otherwise the second time gains nothing: there is no second time."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    looked_up = []

    def rebinding(name: str, port: int) -> list[str]:
        looked_up.append(name)
        return answers.pop(0)

    fetcher = local(resolve=rebinding)
    data = fetcher.fetch(f"http://pictures.example:{host.port}/a.png", max_bytes=MANY)

    assert data == b"picture"
    assert looked_up == ["pictures.example"]


def test_system_is_asked_for_the_name_once(host, monkeypatch):
    names = []
    real = socket.getaddrinfo

    def getaddrinfo(name: str, *rest: object, **more: object) -> list:
        names.append(name)
        return real("127.0.0.1" if name == "pictures.example" else name, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    local(resolve=look_up).fetch(f"http://pictures.example:{host.port}/a.png", max_bytes=MANY)

    assert names.count("pictures.example") == 1
    assert set(names) <= {"pictures.example", "127.0.0.1"}


def test_next_address_is_called_when_the_first_does_not_answer(host):
    fetcher = local(allows=lambda _: True, resolve=lambda *_: ["127.0.0.2", "127.0.0.1"])

    data = fetcher.fetch(f"http://pictures.example:{host.port}/a.png", max_bytes=MANY)

    assert data == b"picture"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_without_cookies(host, status):
    host.plays["/1"] = redirect("/2", status)
    host.plays["/2"] = redirect(f"http://other.example:{host.port}/3")
    host.plays["/3"] = redirect("a.png")

    data = local().fetch(f"http://pictures.example:{host.port}/1", max_bytes=MANY)

    assert data == b"picture"
    assert [path for path, _ in host.asked] == ["/1", "/2", "/3", "/a.png"]
    assert not any("Cookie" in headers for _, headers in host.asked)
    assert host.asked[2][1]["Host"] == f"other.example:{host.port}"


def test_fourth_redirect_is_not_followed(host):
    host.plays["/loop"] = redirect("/loop")

    error = refusal(local(), f"http://pictures.example:{host.port}/loop")

    assert (error.code, len(host.asked)) == ("url_unreachable", 4)


@pytest.mark.parametrize(
    "to",
    [
        "http://inside.example/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "https://pictures.example/",
        "//inside.example/a",
        "http://[",
    ],
)
def test_redirect_is_judged_like_the_first_url(host, to):
    names = {"pictures.example": "127.0.0.1", "inside.example": "10.0.0.1"}
    host.plays["/1"] = redirect(to)
    fetcher = local(resolve=lambda name, _: [names.get(name, name)])

    error = refusal(fetcher, f"http://pictures.example:{host.port}/1")

    assert (error.code, len(host.asked)) == ("url_not_allowed", 1)


@pytest.mark.parametrize("status", [204, 206, 304, 400, 404, 500])
def test_other_status_than_200_is_unreachable(host, status):
    host.plays["/a"] = answer(b"", status=status)

    error = refusal(local(), f"http://pictures.example:{host.port}/a")

    assert (type(error), str(status) in error.message) == (UrlUnreachable, True)


def test_file_is_cut_off_at_the_limit(host):
    sent = []

    def endless(request) -> None:
        request.send_response(200)
        request.end_headers()
        while not host.over.is_set():
            sent.append(request.wfile.write(bytes(2**16)))

    host.plays["/endless"] = endless
    host.plays["/exact"] = answer(bytes(1000))
    exact, over = f"http://a.example:{host.port}/exact", f"http://a.example:{host.port}/endless"

    error = refusal(local(), over, max_bytes=2**20)

    assert (type(error), error.status) == (FileTooLarge, 413)
    assert sum(sent) < 64 * 2**20
    assert len(local().fetch(exact, max_bytes=1000)) == 1000
    assert refusal(local(), exact, max_bytes=999).code == "file_too_large"


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_trickle_does_not_outlast_the_time(host, head):
    host.plays["/slow"] = trickle(host.over, head)

    error = refusal(local(seconds=0.5), f"http://pictures.example:{host.port}/slow")

    assert error.code == "url_unreachable"
    assert "too long" in error.message


def test_resolver_that_hangs_does_not_outlast_the_time():
    over = threading.Event()

    def resolve(name: str, port: int) -> list[str]:
        over.wait(20)
        return []

    error = refusal(Fetcher(resolve=resolve, seconds=0.1), "https://pictures.example/")
    over.set()

    assert "too long" in error.message


def test_deadline_counts_for_all_redirects_together(host):
    host.plays["/1"] = redirect("/slow")
    host.plays["/slow"] = trickle(host.over)

    error = refusal(local(seconds=0.3), f"http://pictures.example:{host.port}/1")

    assert isinstance(error, UrlUnreachable)
    assert not isinstance(error, UrlNotAllowed)


def test_port_where_nobody_listens_is_unreachable(host: Host, tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    assert refusal(local(), f"http://pictures.example:{port}/").code == "url_unreachable"


def test_answer_that_is_no_http_is_unreachable(host):
    host.plays["/a"] = lambda request: request.wfile.write(b"SSH-2.0-x\r\n\r\n")

    assert refusal(local(), f"http://pictures.example:{host.port}/a").code == "url_unreachable"
