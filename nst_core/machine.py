"""The machine that the engine runs on: its memory, and how a process is made ready for it.

Knows no torch: it is asked before torch is loaded, and where torch is not installed.
"""

import os
from pathlib import Path

#: Where Linux says how much memory a container may take, version 2 and 1 of its interface.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)

#: Part of the memory that pictures may take; the rest is for the network, the libraries and
#: whatever else the machine does.
USABLE = 0.8


def use_huge_pages() -> None:
    """Have torch ask Linux for large pages; call it before torch is loaded.

    A step at 1024 px takes and gives back gigabytes, which in pages of 4 KiB costs a quarter of
    its time.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def memory_bytes() -> int:
    """Return the memory of this machine, or of the container that the process lives in."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *filter(None, map(_limit, _LIMITS))])


def _limit(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or the word "max"
        return None
