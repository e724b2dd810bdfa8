"""`Seats`: how many requests may wait at once.

Each holds a thread of its process, so there are fewer seats than threads: the others answer.
"""

import threading
from collections.abc import Callable

from nst_jobs.errors import TooManyWaiting

#: Of the threads of a process, those that may wait.
SEATS = 224


class Seats:
    """The places of those who wait."""

    def __init__(self, count: int = SEATS) -> None:
        self._free = threading.BoundedSemaphore(count)

    def take(self) -> Callable[[], None]:
        """Take a place; return what gives it back, once.

        Raises:
            TooManyWaiting: there is none.
        """
        if not self._free.acquire(blocking=False):
            raise TooManyWaiting("too many requests wait here", hint="Poll without waiting.")
        given_back = threading.Event()

        def give_back() -> None:
            if not given_back.is_set():
                given_back.set()
                self._free.release()

        return give_back
