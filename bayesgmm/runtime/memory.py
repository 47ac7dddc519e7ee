"""Memory of this machine."""

import os
from contextlib import suppress
from pathlib import Path


def memory() -> float:
    """Memory of this machine, in bytes; infinite if unknown."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):  # not a POSIX system
        return float("inf")


def free_memory() -> float:
    """Memory that this process may still take, in bytes; infinite if unknown."""
    found = [memory()]
    with suppress(OSError, ValueError, IndexError):  # not Linux
        found.append(1024.0 * int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]))
    with suppress(OSError, ValueError):  # no control group, or one without a limit
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        found.append(float(max(0, int(Path("/sys/fs/cgroup/memory.max").read_text()) - used)))
    return min(found)
