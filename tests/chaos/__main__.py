"""`python -m tests.chaos`: break the service for a while, and say whether it kept its promises."""

import shutil
import sys
import tempfile
from pathlib import Path

import click

from tests.chaos.report import report
from tests.chaos.run import run_everything


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="How long faults are done.")
@click.option("--seed", default=1, show_default=True, help="Draws faults and clients.")
@click.option("--database", default="sqlite", type=click.Choice(["sqlite", "postgresql"]))
def main(seconds: float, seed: int, database: str) -> None:
    """Break the service for a while; exit with 1 when it broke a promise."""
    folder = Path(tempfile.mkdtemp(prefix="nst-chaos-run-"))
    verdict = run_everything(folder, database=database, seconds=seconds, seed=seed)
    click.echo(f"{database}, seed {seed}, {seconds:.0f} s{report(verdict)}")
    if verdict.violations:
        sys.exit(f"logs and journals are in {folder}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
