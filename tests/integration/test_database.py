"""Migrations: up, down and up again on both databases, and equal to the records."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from nst_jobs.database import Database
from nst_jobs.records import Record


def test_migrated_tables_are_the_records(database: Database):
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Record.metadata)

    assert differences == []


def test_migrations_go_down_to_nothing_and_up_again(database: Database):
    database.migrate("base")
    below = set(sa.inspect(database.engine).get_table_names())
    database.migrate()
    above = set(sa.inspect(database.engine).get_table_names())

    assert below == {"alembic_version"}
    assert above == {"alembic_version", "job", "attempt", "artifact", "event"}


def test_migrating_twice_changes_nothing(database: Database):
    database.migrate()

    with database.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "0001"
