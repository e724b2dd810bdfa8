"""`Fetcher`: the bytes behind a stranger's URL, asked for without becoming the stranger's tool.

Names are resolved once, every address is judged, and the connection goes to a judged address.
httpcore follows no redirect, keeps no cookie and reads no proxy from the environment. Knows no
picture and no job.
"""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpcore
import httpx

from api.addresses import is_public
from api.errors import UrlNotAllowed, UrlUnreachable
from api.pinned import Clock, Pinned, within
from nst_core.errors import FileTooLarge

_MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"https": 443, "http": 80}
_SEND_IT = "Download the picture and send it as `data`, or as a file."

Resolve = Callable[[str, int], Sequence[str]]


def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a host, as the system resolves it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(where[0]) for *_, where in found]


@dataclass(frozen=True)
class Fetcher:
    """How URLs are fetched; the fields are for tests, which have no public server."""

    schemes: tuple[str, ...] = ("https",)
    allows: Callable[[str], bool] = is_public
    resolve: Resolve = look_up
    #: None trusts whom the system trusts.
    trust: ssl.SSLContext | None = None
    seconds: float = 10

    def fetch(self, url: str, *, max_bytes: int, deadline: float | None = None) -> bytes:
        """Return the bytes behind `url`, by the monotonic `deadline`, or in `seconds`.

        Raises:
            UrlNotAllowed: it is not https, or leads to an address that is not public.
            UrlUnreachable: it does not answer, or not with a file.
            FileTooLarge: there are more than `max_bytes`.
        """
        clock = Clock(time.monotonic() + self.seconds if deadline is None else deadline)
        target = _parse(url)
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._ask(target, clock, max_bytes)
            if isinstance(answer, bytes):
                return answer
            target = answer
        raise UrlUnreachable(
            f"the URL redirects more than {_MAX_REDIRECTS} times",
            hint="Give the address that it leads to in the end.",
        )

    def _ask(self, target: httpx.URL, clock: Clock, max_bytes: int) -> bytes | httpx.URL:
        """Ask once; return the file, or where it is instead."""
        self._check(target)
        try:
            backend = Pinned(self._addresses(target, clock), clock)
            with (
                httpcore.ConnectionPool(
                    ssl_context=self.trust, network_backend=backend, max_keepalive_connections=0
                ) as pool,
                pool.stream("GET", _for_core(target), headers=_headers(target)) as response,
            ):
                return _read(target, response, max_bytes)
        except (httpcore.TimeoutException, TimeoutError) as error:
            raise UrlUnreachable(f"{target.host} takes too long", hint=_SEND_IT) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, UnicodeError) as error:
            raise UrlUnreachable(
                f"{target.host} cannot be reached: {error}", hint=f"Correct the URL. {_SEND_IT}"
            ) from error

    def _check(self, target: httpx.URL) -> None:
        if target.scheme not in self.schemes:
            raise UrlNotAllowed(
                f"a URL of scheme {target.scheme or 'none'} is not fetched",
                hint=f"Give one that begins with {self.schemes[0]}://.",
            )
        if not target.host or target.userinfo or not 0 < _port(target) < 2**16:
            raise UrlNotAllowed(
                "the URL has no host, a password, or a port that is none",
                hint=f"Give https://host/path. {_SEND_IT}",
            )

    def _addresses(self, target: httpx.URL, clock: Clock) -> list[str]:
        """Resolve the host, once, and return its addresses if each of them is allowed."""
        host, port = target.raw_host.decode("ascii"), _port(target)
        found = list(dict.fromkeys(within(clock, lambda: self.resolve(host, port))))
        # Which of them it is, is not said: it would tell strangers of the network here.
        if not found or not all(self.allows(address) for address in found):
            raise UrlNotAllowed(
                f"{target.host} is not an address of the public internet", hint=_SEND_IT
            )
        return found


def _parse(url: str, base: httpx.URL | None = None) -> httpx.URL:
    try:
        return base.join(url) if base else httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise UrlNotAllowed(f"it is no URL: {error}", hint="Give https://host/path.") from error


def _port(target: httpx.URL) -> int:
    return _PORTS.get(target.scheme, 0) if target.port is None else target.port


def _for_core(target: httpx.URL) -> httpcore.URL:
    return httpcore.URL(
        scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path
    )


def _headers(target: httpx.URL) -> Sequence[tuple[bytes, bytes]]:
    return (
        (b"Host", target.netloc),
        (b"User-Agent", b"nst-server"),
        (b"Accept", b"image/*"),
        (b"Accept-Encoding", b"identity"),  # what is packed could be a bomb
        (b"Connection", b"close"),
    )


def _read(target: httpx.URL, response: httpcore.Response, max_bytes: int) -> bytes | httpx.URL:
    headers = {name.lower(): value for name, value in response.headers}
    if response.status in _REDIRECTS and b"location" in headers:
        return _parse(headers[b"location"].decode("latin-1"), target)
    if response.status != 200:
        raise UrlUnreachable(
            f"{target.host} answers with {response.status}", hint=f"Correct the URL. {_SEND_IT}"
        )
    data = bytearray()
    for chunk in response.iter_stream():
        data += chunk
        if len(data) > max_bytes:
            raise FileTooLarge(
                f"the file has more than {max_bytes:,} bytes",
                hint="Make the picture smaller, or save it as JPEG.",
            )
    return bytes(data)
