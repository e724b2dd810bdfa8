"""Local HTTP and HTTPS servers that play hosts of the internet."""

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which

import pytest

from tests.services import missing

Play = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Host:
    """A server, what it plays by path, and the (path, headers) that it was asked."""

    port: int
    plays: dict[str, Play]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    #: Set when the test is over: whoever plays a slow host waits for it.
    over: threading.Event = field(default_factory=threading.Event)


def answer(data: bytes, *, status: int = 200, **headers: str) -> Play:
    """Play a host that sends `data`."""

    def play(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    return play


def redirect(to: str, status: int = 302) -> Play:
    """Play a host that sends its visitors elsewhere."""
    return answer(b"", status=status, Location=to, Set_Cookie="seen=1; Path=/")


def trickle(host_over: threading.Event, head: bytes = b"") -> Play:
    """Play a host that sends a byte now and then, and never ends."""

    def play(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(head)
        while not host_over.wait(0.05):
            request.wfile.write(b"a")

    return play


@contextmanager
def hosting(plays: dict[str, Play], *, context: ssl.SSLContext | None = None) -> Iterator[Host]:
    """Serve on loopback until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.asked.append((self.path, dict(self.headers)))
            try:
                host.plays.get(self.path, answer(b"no", status=404))(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a visitor that does not trust the certificate, or goes away

    with Server(("127.0.0.1", 0), Handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        host = Host(server.server_address[1], plays)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield host
        finally:
            host.over.set()
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for pictures.example, which nobody else trusts."""
    if not which("openssl"):
        missing("openssl is not installed")
    pem = tmp_path_factory.mktemp("tls") / "pictures.pem"
    name = ["-subj", "/CN=pictures.example", "-addext", "subjectAltName=DNS:pictures.example"]
    key = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run(
        ["openssl", *key, *name, "-keyout", str(pem) + ".key", "-out", str(pem)],
        check=True,
        capture_output=True,
    )
    pem.write_text(Path(f"{pem}.key").read_text() + pem.read_text())
    return pem
