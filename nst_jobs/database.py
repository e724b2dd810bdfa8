"""`Database`: connections, transactions and the database's clock, on SQLite and PostgreSQL.

Owns what differs between the two; knows no table.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session

import migrations

_BUSY_SECONDS = 20
_BEGIN = "sqlite_begin"
#: Any number that nothing else locks: of two migrations at once, the second waits.
_MIGRATION_LOCK = 6_779_118
#: PostgreSQL's code of the error.
_LOCK_NOT_AVAILABLE = "55P03"


class Database:
    """One database; safe to share between threads, to be made anew after a fork."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that only reads and blocks nobody."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Give a session whose changes are committed at the end, or not at all."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            session.connection(execution_options={_BEGIN: "IMMEDIATE"})
            yield session

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to `revision`, `base` meaning that there are none."""
        config = Config()
        folder = str(Path(migrations.__file__).parent)
        config.set_main_option("script_location", folder.replace("%", "%%"))
        with self.engine.connect().execution_options(**{_BEGIN: "IMMEDIATE"}) as connection:
            if connection.dialect.name == "postgresql":  # SQLite's own lock does it there
                # However long the other takes, and this one.
                for limit in ("lock_timeout", "idle_in_transaction_session_timeout"):
                    connection.execute(sa.select(sa.func.set_config(limit, "0", True)))
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            move = command.downgrade if revision == "base" else command.upgrade
            move(config, revision)
            connection.commit()

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def database_now(session: Session) -> datetime:
    """Return the database's time, the one clock that all machines share."""
    if session.get_bind().dialect.name == "sqlite":
        text = session.scalar(sa.text("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"))
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
    now = session.scalar(sa.select(sa.func.clock_timestamp()))
    if not isinstance(now, datetime):
        raise TypeError(f"the database's clock says {now!r}")
    return now.astimezone(UTC)


def bound_locks(session: Session, *, wait_seconds: float, idle_seconds: float) -> None:
    """Let this transaction fail rather than wait long for a lock, or hold its own in silence.

    SQLite has one lock, with a time limit of its own, and drops it with the process.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    limits = {
        "lock_timeout": wait_seconds,
        "idle_in_transaction_session_timeout": idle_seconds,
    }
    for name, seconds in limits.items():
        session.execute(sa.select(sa.func.set_config(name, f"{round(seconds * 1000)}ms", True)))


def lock_timed_out(error: sa.exc.DBAPIError) -> bool:
    """Return whether a statement gave up since `bound_locks` told it to."""
    return getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE


#: A server that is gone without a word is noticed well within a lease.
_POSTGRES = {"connect_timeout": 5, "tcp_user_timeout": 10_000}
#: What the server is told of each connection, in milliseconds and seconds: a client that is frozen
#: or cut off in the midst of a transaction would otherwise hold its rows for hours, and nobody
#: could reclaim its job. All well within a lease.
_SESSION = {
    "idle_in_transaction_session_timeout": 5_000,
    "lock_timeout": 10_000,
    "tcp_user_timeout": 10_000,
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
}


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        engine = sa.create_engine(url, pool_pre_ping=True, connect_args=_POSTGRES)
        sa.event.listen(engine, "connect", _configure_postgres)
        return engine
    path = sa.make_url(url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    sa.event.listen(engine, "connect", _configure_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_postgres(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI object
    connection.autocommit = True  # else it would all be forgotten with the first rollback
    with connection.cursor() as cursor:
        for name, value in _SESSION.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (name, str(value)))
    connection.autocommit = False


def _configure_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI object
    # The driver opens transactions late and by guess; `_begin_sqlite` opens them instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # FULL: a committed job survives the power going out, which P1 promises.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: upgrading a read lock later fails without waiting.
    mode = connection.get_execution_options().get(_BEGIN, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")
