"""`Services`: what the request handlers work with, made once a process."""

from dataclasses import dataclass

from flask import current_app

from nst_jobs.database import Database
from nst_jobs.queue import Queue, make_celery
from nst_jobs.settings import Settings
from nst_jobs.storage import Storage, open_storage

_EXTENSION = "nst"
#: Whose jobs they are while there are no API keys.
LOCAL_OWNER = "local"


@dataclass(frozen=True)
class Services:
    """The parts that requests need."""

    settings: Settings
    database: Database
    queue: Queue
    storage: Storage

    @classmethod
    def connect(cls, settings: Settings) -> "Services":
        """Return the parts that `settings` name; nothing is contacted yet."""
        return cls(
            settings,
            Database(settings.database),
            Queue(make_celery(settings)),
            open_storage(settings.storage),
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
