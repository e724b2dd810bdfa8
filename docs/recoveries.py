"""Measure how soon jobs run again after each kind of fault, for `docs/reliability.md`.

    OMP_NUM_THREADS=1 .venv/bin/python -m docs.recoveries --seeds 3

breaks the service as `make chaos` does, a minute for each seed and database, writes
`docs/recovery.png` and prints the tables.
"""

import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

import click

from tests.chaos.recovery import own_crashes, recoveries
from tests.chaos.run import Verdict, run_everything

DOCS = Path(__file__).parent
DATABASES = ("sqlite", "postgresql")


@click.command()
@click.option("--seeds", default=3, show_default=True, help="Runs on each database.")
@click.option("--seconds", default=60.0, show_default=True, help="How long faults are done in one.")
def main(seeds: int, seconds: float) -> None:
    """Run, draw and print."""
    waits: dict[str, list[float]] = defaultdict(list)
    click.echo("| database | seed | jobs | faults | violations | recovery p50 / max | settled |")
    click.echo("|---|---|---|---|---|---|---|")
    for database in DATABASES:
        for seed in range(1, seeds + 1):
            with tempfile.TemporaryDirectory(prefix="nst-recoveries-") as folder:
                verdict = run_everything(
                    Path(folder) / "run", database=database, seconds=seconds, seed=seed
                )
                found = recoveries(verdict.evidence)
                for each in found:
                    waits[_kind(each.kind)].append(each.seconds)
                times = [each.seconds for each in found]
                click.echo(f"| {database} | {seed} {_row(verdict, times)}")
    click.echo("\n| after | times | p50 | max |\n|---|---|---|---|")
    for kind, times in sorted(waits.items()):
        click.echo(f"| {kind} | {len(times)} | {median(times):.1f} s | {max(times):.1f} s |")
    _draw(waits)


def _kind(kind: str) -> str:
    return "died at a failpoint" if kind.startswith("died") else kind


def _row(verdict: Verdict, times: list[float]) -> str:
    faults = len(verdict.evidence.faults) + len(own_crashes(verdict.evidence))
    return (
        f"| {len(verdict.evidence.jobs)} | {faults} | {len(verdict.violations)} "
        f"| {median(times):.1f} / {max(times):.1f} s | {verdict.settled_seconds:.0f} s |"
    )


def _draw(waits: dict[str, list[float]]) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - of the `bench` extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    mpl.use("Agg")
    figure = Figure(figsize=(7, 0.6 * len(waits) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    kinds = sorted(waits, reverse=True)
    for place, kind in enumerate(kinds):
        axes.plot(waits[kind], [place] * len(waits[kind]), "o", alpha=0.5)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_xlabel("seconds until the job's next attempt (lease 5 s, sweep about 1 s)")
    axes.set_xlim(left=0)
    figure.savefig(DOCS / "recovery.png", dpi=110)


if __name__ == "__main__":
    main()
