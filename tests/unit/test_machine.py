"""What the C library does with freed memory, seen from outside."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, sets glibc")

_SCRIPT = """
import re, sys
from pathlib import Path
import numpy
from nst_core import machine

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

machine.keep_freed_memory(sys.argv[1] == "keep")
before = resident()
blocks = [numpy.ones(20 * 2**20, dtype=numpy.uint8) for _ in range(10)]
del blocks
left = resident() - before
machine.give_back_freed_memory()
print(left // 1024, (resident() - before) // 1024)
"""


@pytest.mark.parametrize(("way", "left"), [("keep", 200), ("give back", 0)])
def test_freed_memory_is_kept_or_given_back(way, left):
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, way], capture_output=True, text=True, check=True
    )
    kept, after = map(int, done.stdout.split())

    assert kept == pytest.approx(left, abs=25)
    assert after == pytest.approx(0, abs=25)
