"""`Queue`: wake-ups for workers, over Celery.

A message says only "there may be work"; the database says what. So a message that is lost,
repeated or late does no harm, and publishing may fail without failing the submission.
"""

import time
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from nst_jobs.settings import Settings

QUEUE = "nst"
WAKE_TASK = "nst.wake"
_PAUSE_SECONDS = 5.0
#: What a broker that cannot be reached raises, by whichever layer notices first.
BROKER_ERRORS = (OperationalError, RedisError, OSError)
#: Long beside the second for which a waiting consumer's call lasts.
_CONSUMER_SOCKET_SECONDS = 5.0
#: A submission waits three times this long, once, when the broker is frozen.
_PUBLISHER_SOCKET_SECONDS = 1.5

logger = structlog.get_logger(__name__)


class Queue:
    """Publishes wake-ups; quiet for some seconds after the broker failed to answer."""

    def __init__(self, app: Celery) -> None:
        self.app = app
        self._down = False
        self._silent_until = 0.0

    def wake(self) -> bool:
        """Tell one worker that a job may be due; False when the broker cannot be reached.

        A broker that is down costs the caller a wait once, then nothing for a while: the
        sweeper tops the queue up when it is back.
        """
        if time.monotonic() < self._silent_until:
            return False
        if self._down:  # one caller tries whether the broker is back; the others do not wait for it
            self._silent_until = time.monotonic() + _PAUSE_SECONDS
        try:
            self.app.send_task(WAKE_TASK, queue=QUEUE)
        except BROKER_ERRORS as error:
            self._down = True
            self._silent_until = time.monotonic() + _PAUSE_SECONDS
            logger.warning("publish_failed", error=str(error))
            return False
        self._down = False
        self._silent_until = 0.0
        return True

    def depth(self) -> int:
        """Return how many wake-ups wait in the broker.

        Raises:
            BROKER_ERRORS: the broker cannot be reached.
        """
        with self.app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            return int(channel.client.llen(QUEUE))

    def close(self) -> None:
        """Close every connection."""
        self.app.close()


def make_celery(settings: Settings, *, consumes: bool = False) -> Celery:
    """Return the Celery app that API and worker share; only the worker's consumes."""
    app = Celery("nst", set_as_current=False)
    app.conf.update(
        # Here, and not as an argument, which Celery's own CELERY_BROKER_URL would override.
        broker_url=settings.broker,
        broker_read_url=settings.broker,
        broker_write_url=settings.broker,
        task_default_queue=QUEUE,
        # A live lease drops a redelivery anyway: a late ack adds only duplicates and poison loops.
        task_acks_late=False,
        # Else a message hides behind a busy device while another worker idles.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # Results live in the database.
        task_ignore_result=True,
        # The default lets the worker exit for good when the broker is away for long.
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        # A running job needs no broker.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # One more try at most: the default publish hangs on a frozen broker.
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1},
        broker_transport_options={
            "socket_timeout": _CONSUMER_SOCKET_SECONDS if consumes else _PUBLISHER_SOCKET_SECONDS,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
        },
        # The process's logging is structlog's.
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
    )
    return app
