"""What the estimate says of memory, against the peak of a process that stylises."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nst_core.estimate import Device, estimate
from nst_core.params import StyleParams

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("size", [128, 256, 384, 512, 768])
def test_estimate_is_within_15_percent_of_the_measured_peak(size):
    command = [
        *(sys.executable, "-m", "benchmarks.memory_probe", "engine"),
        *("--size", str(size), "--precision", "float32", "--device", "cpu"),
        *("--weights", "random", "--images", str(ROOT / "api" / "samples")),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    measured = json.loads(done.stdout)["peak_bytes"]

    device = Device("cpu", memory_bytes=2**40, bfloat16=False)
    params = StyleParams(size=size, precision="float32")
    found = estimate(params, device, size=(4, 3))

    assert found.bytes == pytest.approx(measured, rel=0.15)
