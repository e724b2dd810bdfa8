"""Runs migrations: over the connection handed in, or over `NST_DATABASE_URL` for `alembic`."""

from alembic import context
from sqlalchemy.engine import Connection

from nst_jobs.database import Database
from nst_jobs.records import Record
from nst_jobs.settings import read_settings


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Record.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with Database(read_settings().database).engine.begin() as connection:
        _run(connection)
