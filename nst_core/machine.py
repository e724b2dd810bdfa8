"""The machine that the engine runs on: its memory, and how a process is made ready for it.

Knows no torch: it is asked before torch is loaded, and where torch is not installed.
"""

import ctypes
import os
from functools import cache
from pathlib import Path

#: Where Linux says how much memory a container may take, version 2 and 1 of its interface.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)

#: Part of the memory that pictures may take; the rest is for the network, the libraries and
#: whatever else the machine does.
USABLE = 0.8

#: Options of mallopt(3), and values for them in bytes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER, _MEBIBYTE, _MOST = 2**31 - 1, 2**20, 32 * 2**20


def use_huge_pages() -> None:
    """Have torch ask Linux for large pages; call it before torch is loaded.

    A step at 1024 px takes and gives back gigabytes, which in pages of 4 KiB costs a quarter of
    its time.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def keep_freed_memory(keep: bool) -> None:
    """Have the C library keep large blocks that are freed for the next step, or not.

    Kept, a step spends no time on fresh pages; given back, memory holds what is in use and no
    more. The C library's own way lies between the two, and differs from run to run. It holds for
    the process. Libraries other than glibc are left as they are.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_MMAP_THRESHOLD, _MOST if keep else _MEBIBYTE)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER if keep else _MEBIBYTE)


def give_back_freed_memory() -> None:
    """Have the C library give back what it kept."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None


def memory_bytes() -> int:
    """Return the memory of this machine, or of the container that the process lives in."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *filter(None, map(_limit, _LIMITS))])


def _limit(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or the word "max"
        return None
