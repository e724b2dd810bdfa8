"""`Services`: what the request handlers work with, made once a process."""

import threading
from dataclasses import dataclass, field

from flask import current_app

from api.fetching import Fetcher
from api.seats import Seats
from api.thumbnails import Thumbnails
from api.watcher import Watcher
from nst_jobs.database import Database
from nst_jobs.queue import Queue, make_celery
from nst_jobs.settings import Settings
from nst_jobs.storage import Storage, open_storage

_EXTENSION = "nst"
_DECODING_AT_ONCE = 4
_COLLECTING_AT_ONCE = 4


@dataclass(frozen=True)
class Services:
    """The parts that requests need."""

    settings: Settings
    database: Database
    queue: Queue
    storage: Storage
    watcher: Watcher
    seats: Seats = field(default_factory=Seats)
    #: Decoded pictures are large: a few submissions at a time hold theirs, the others wait.
    decoding: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(_DECODING_AT_ONCE)
    )
    #: So are JSON bodies, and what their URLs lead to.
    collecting: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(_COLLECTING_AT_ONCE)
    )
    fetcher: Fetcher = field(default_factory=Fetcher)
    thumbnails: Thumbnails = field(default_factory=Thumbnails)

    @classmethod
    def connect(cls, settings: Settings) -> "Services":
        """Return the parts that `settings` name; nothing is contacted yet."""
        database = Database(settings.database)
        return cls(
            settings,
            database,
            Queue(make_celery(settings)),
            open_storage(settings.storage),
            Watcher(database),
        )

    def close(self) -> None:
        """Close every connection."""
        self.database.close()
        self.queue.close()


def services() -> Services:
    """Return the parts of the present app."""
    found = current_app.extensions[_EXTENSION]
    if not isinstance(found, Services):
        raise TypeError(f"app.extensions[{_EXTENSION!r}] is {found!r}")
    return found


def install(app_extensions: dict[str, object], parts: Services) -> None:
    """Make the parts reachable from the app's requests."""
    app_extensions[_EXTENSION] = parts
