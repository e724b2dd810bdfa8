"""`nst keys`: make, list and revoke API keys, straight in the database."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.table import Table

from nst_jobs import keys
from nst_jobs.database import Database
from nst_jobs.keys import Scope
from nst_jobs.settings import read_settings


@click.group("keys")
def keys_command() -> None:
    """API keys, for a server with NST_REQUIRE_KEYS=true."""


@keys_command.command("create")
@click.argument("owner")
@click.option("--name", default="", help="What the key is for, as a reminder.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    default=[Scope.JOBS.value],
    show_default=True,
    help="What it opens: the owner's jobs, or what concerns the whole service.",
)
def create_command(owner: str, *, name: str, scopes: tuple[str, ...]) -> None:
    """Make a key for OWNER and print it: it cannot be shown again."""
    if not 1 <= len(owner) <= 64 or not owner.isprintable():
        raise click.BadParameter("1 to 64 printable characters", param_hint="OWNER")
    with _database() as database, database.writing() as session:
        token = keys.create(session, owner, [Scope(scope) for scope in scopes], name=name[:64])
    click.echo(token)


@keys_command.command("list")
def list_command() -> None:
    """Show every key, without what makes it one."""
    table = Table("id", "owner", "name", "scopes", "created", "last used", "revoked")
    with _database() as database, database.reading() as session:
        for key in keys.all_keys(session):
            moments = (key.created_at, key.last_used_at, key.revoked_at)
            texts = (f"{moment:%Y-%m-%d %H:%M}" if moment else "–" for moment in moments)
            table.add_row(key.id, key.owner, key.name, key.scopes, *texts)
    Console().print(table)


@keys_command.command("revoke")
@click.argument("key_id")
def revoke_command(key_id: str) -> None:
    """Have the key KEY_ID open nothing any more; its owner's jobs stay."""
    with _database() as database, database.writing() as session:
        keys.revoke(session, key_id)
    click.echo(f"{key_id} is revoked")


@contextmanager
def _database() -> Iterator[Database]:
    database = Database(read_settings().database)
    try:
        yield database
    finally:
        database.close()
