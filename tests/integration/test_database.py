"""Migrations: up, down and up again on both databases, and equal to the records."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
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
    assert above == {"alembic_version", *Record.metadata.tables}


def test_migrating_twice_changes_nothing(database: Database):
    database.migrate()

    with database.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "0005"


def test_migrations_at_once_wait_for_each_other(database: Database):
    database.migrate("base")
    url = database.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "api", "migrate"]

    rivals = [
        subprocess.Popen(command, env={**os.environ, "NST_DATABASE_URL": url}) for _ in range(3)
    ]

    assert [rival.wait(timeout=60) for rival in rivals] == [0, 0, 0]


@pytest.mark.parametrize("kind", ["sqlite_url", "postgres_url"])
def test_alembics_own_command_goes_up_and_down(kind: str, request: pytest.FixtureRequest):
    env = {**os.environ, "NST_DATABASE_URL": request.getfixturevalue(kind)}

    for move in (("downgrade", "base"), ("upgrade", "head")):
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *move],
            cwd=Path(__file__).parents[2],
            env=env,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
