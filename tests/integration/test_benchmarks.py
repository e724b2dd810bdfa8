"""The benchmarks still run: every row is printed, and the report is written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nst_core.layers import LAYERS, depth

torch = pytest.importorskip("torch", reason="this machine does not compute")

ROOT = Path(__file__).parents[2]
ROWS = (
    "step over bare",
    "share of the matrix rate",
    "cost per pixel",
    "time to quality",
    "work to quality",
    "whole run over whole run",
    "memory over bare",
    "estimate over measured",
)
CHARTS = ("seconds_per_step.png", "time_to_quality.png", "memory.png")


@pytest.fixture
def narrow_weights(tmp_path):
    """A file of VGG19's shape, eight channels wide: quick."""
    generator = torch.Generator().manual_seed(0)
    state, before = {}, 3
    for name in (layer for layer in LAYERS if layer.startswith("conv")):
        key = f"features.{depth(name)}"
        state[f"{key}.weight"] = torch.randn(8, before, 3, 3, generator=generator) / 5
        state[f"{key}.bias"] = torch.zeros(8)
        before = 8
    path = tmp_path / "narrow.pth"
    torch.save(state, path)
    return path


def test_engine_benchmark_prints_every_row_and_writes_its_report(tmp_path, narrow_weights):
    command = [
        *(sys.executable, "-m", "benchmarks.engine", "--tiny"),
        *("--weights", str(narrow_weights)),
        *("--out", str(tmp_path)),
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}

    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    report = (tmp_path / "engine.md").read_text()
    assert [row for row in ROWS if row not in done.stdout] == []
    assert [row for row in ROWS if row not in report] == []
    assert str(ROOT) not in report


def test_engine_benchmark_draws_its_charts(tmp_path):
    pytest.importorskip("matplotlib", reason="charts need the bench extra")
    from benchmarks.charts import Chart, Panel, draw  # noqa: PLC0415 - a machine without it skips

    for name in CHARTS:
        draw(Chart(name, name, (Panel("x", "y", {"line": [(1, 2), (3, 4)]}),)), tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(CHARTS)
