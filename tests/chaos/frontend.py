"""`python -m tests.chaos.frontend BIND PROCESSES`: the API under gunicorn, with failpoints.

Beside those of every process it may die between the COMMIT of a job and its wake-up.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps

from sqlalchemy.orm import Session

from api import wsgi
from nst_jobs import sweeper
from nst_jobs.database import _BEGIN, Database
from nst_jobs.queue import Queue
from tests.chaos import orders as numbers
from tests.chaos.failpoints import Failpoints
from tests.chaos.journal import Journal
from tests.chaos.orders import Orders, read_orders

#: How long after its answer a job is committed where the order is turned round.
_LATE_SECONDS = 0.3
#: A request passes few failpoints, beside a job or the sweeper.
_MORE_OFTEN = 3


def main() -> None:
    """Serve until told to stop, or made to."""
    orders = read_orders()
    sweeper.SWEEP_SECONDS = numbers.SWEEP_SECONDS
    failpoints = Failpoints(orders, Journal(orders.journal), elsewhere=_MORE_OFTEN)
    failpoints.install()
    die_before_wake_ups(failpoints)
    break_guards(orders)
    wsgi.main()


def die_before_wake_ups(failpoints: Failpoints) -> None:
    """Put a failpoint between what is committed and who hears of it."""
    original = Queue.wake

    @wraps(original)
    def wake(queue: Queue) -> bool:
        failpoints.pass_by("before publish")
        return original(queue)

    Queue.wake = wake


def break_guards(orders: Orders) -> None:
    """Take away what a negative control is to miss."""
    if orders.broken == "sweeper":
        sweeper.start = lambda *_: None
    if orders.broken == "order":
        sweeper.start = lambda *_: None  # its transactions would only queue up behind late ones
        Database.writing = commit_late


@contextmanager
def commit_late(database: Database) -> Iterator[Session]:
    """Give a session whose changes are committed some time after it was left."""
    session = Session(database.engine, expire_on_commit=False)
    try:
        session.connection(execution_options={_BEGIN: "IMMEDIATE"})
        yield session
    except BaseException:
        session.close()
        raise
    threading.Thread(target=_commit, args=(session,)).start()


def _commit(session: Session) -> None:
    time.sleep(_LATE_SECONDS)
    with session:
        session.commit()


if __name__ == "__main__":
    main()
