"""What a process under test is told beside its settings: the numbers of the run, what to break.

Handed down in the environment, so that a process that is started again reads the same.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

LEASE_SECONDS = 5.0
SWEEP_SECONDS = 1.0
BACKOFF_SECONDS = 0.5
CHECKPOINT_SECONDS = 0.5
#: So that a job lasts a second or two and costs little of the machine.
STEP_SECONDS = 0.02
#: A job with this seed ends every process that computes it.
POISON_SEED = 666
_VARIABLE = "CHAOS_ORDERS"


@dataclass(frozen=True)
class Orders:
    """One run's orders; `broken` names the guard that a negative control takes away."""

    folder: Path
    seed: int
    #: How likely a process dies at each failpoint that it passes.
    crash_share: float = 0.0
    broken: str = ""

    @property
    def journal(self) -> Path:
        """Return the folder of the journals."""
        return self.folder / "journal"

    @property
    def full_disk(self) -> Path:
        """Return the file that makes the disk seem full for as long as it exists."""
        return self.folder / "disk-is-full"

    @property
    def calm(self) -> Path:
        """Return the file that keeps every process alive for as long as it exists."""
        return self.folder / "calm"

    def as_environment(self) -> dict[str, str]:
        """Return what `read_orders` reads."""
        return {_VARIABLE: json.dumps(asdict(self), default=str)}


def read_orders() -> Orders:
    """Return the orders of this process."""
    given = json.loads(os.environ[_VARIABLE])
    return Orders(**{**given, "folder": Path(given["folder"])})
