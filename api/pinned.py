"""Connections to addresses that were chosen beforehand, all of whose steps end by one deadline.

Knows no URL and does not judge addresses.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import httpcore


class Clock:
    """The time that is left, for names, connections, redirects and bytes together."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            httpcore.ReadTimeout: there are none.
        """
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise httpcore.ReadTimeout("the time is up")
        return seconds


class Pinned(httpcore.NetworkBackend):
    """Connects to addresses that were judged, whatever the name may resolve to by now."""

    def __init__(self, addresses: Sequence[str], clock: Clock) -> None:
        self._addresses = addresses
        self._clock = clock
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers; the name is TLS's and the header's matter."""
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._addresses:
            try:
                left = self._clock.left()
                return _Timed(self._sockets.connect_tcp(address, port, timeout=left), self._clock)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed


class _Timed(httpcore.NetworkStream):
    """A connection of which every read and write ends by the deadline: a trickle does not help."""

    def __init__(self, stream: httpcore.NetworkStream, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what there is."""
        return self._stream.read(max_bytes, self._clock.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it."""
        self._stream.write(buffer, self._clock.left())

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Go on over TLS, verified for the name."""
        secure = self._stream.start_tls(ssl_context, server_hostname, self._clock.left())
        return _Timed(secure, self._clock)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - the interface's
        """Return what the connection has to say."""
        return self._stream.get_extra_info(info)


def within(clock: Clock, ask: Callable[[], Sequence[str]]) -> Sequence[str]:
    """Return what `ask` finds in the time left; the system's resolver takes no time limit."""
    found: Future[Sequence[str]] = Future()

    def answer() -> None:
        try:
            found.set_result(ask())
        except (OSError, UnicodeError) as error:
            found.set_exception(error)

    threading.Thread(target=answer, name="resolve", daemon=True).start()
    return found.result(timeout=clock.left())
