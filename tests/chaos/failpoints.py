"""Failpoints: moments at which a process may die, or find the disk full, as the orders have it.

They lie on both sides of what makes a change durable: the rename of a file and the COMMIT.
"""

import errno
import os
import random
import threading
from functools import wraps
from pathlib import Path

from sqlalchemy.engine.default import DefaultDialect

from tests.chaos.journal import Journal
from tests.chaos.orders import Orders

_EXIT_STATUS = 9
_UNFINISHED = ".unfinished"


class Failpoints:
    """Ends this process now and then; another process of the same run dies at other moments."""

    def __init__(self, orders: Orders, journal: Journal, *, elsewhere: float = 1.0) -> None:
        """Make failpoints that are `elsewhere` times as deadly outside of the sweeper's thread."""
        self._elsewhere = elsewhere
        self._orders = orders
        self._journal = journal
        self._pid = 0
        self._random = random.Random()  # noqa: S311 - no secret

    def pass_by(self, where: str) -> None:
        """Return, or die."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._random.seed(f"{self._orders.seed} {self._pid}")
        drawn = self._random.random() < self._share()
        if drawn and not self._orders.calm.exists():
            self._journal.write(f"died {where}")
            os._exit(_EXIT_STATUS)

    def _share(self) -> float:
        swept = threading.current_thread().name == "sweeper"
        return self._orders.crash_share if swept else self._orders.crash_share * self._elsewhere

    def install(self) -> None:
        """Put failpoints around every COMMIT and every rename, and let the disk be full."""
        self._surround(DefaultDialect, "do_commit", "COMMIT")
        self._surround(Path, "replace", "rename")
        self._fill_disk()

    def _surround(self, owner: type, name: str, where: str) -> None:
        original = getattr(owner, name)

        @wraps(original)
        def surrounded(*args: object) -> object:
            self.pass_by(f"before {where}")
            answer = original(*args)
            self.pass_by(f"after {where}")
            return answer

        setattr(owner, name, surrounded)

    def _fill_disk(self) -> None:
        original, flag = Path.open, self._orders.full_disk

        @wraps(original)
        def opened(path: Path, *args: object, **options: object) -> object:
            if path.name.endswith(_UNFINISHED) and flag.exists():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            return original(path, *args, **options)

        Path.open = opened
