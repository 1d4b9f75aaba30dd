"""Memory that costs the same each time it is used.

Many virtual machines give memory that is freed back to their host at once ("free page reporting",
in blocks of 2 MiB), and have to ask for it again: here a store then took 7 to 45 ms to put 16 MiB
in place, depending on what had run before. That is the host's time and not that of what is being
measured, so a bench that moves gigabytes first takes the memory it will need and then gives most
of it back to the kernel, though not to the host: it keeps one page in each block.
"""

from __future__ import annotations

import mmap
import sys

_PAGE = mmap.PAGESIZE
_BLOCK = 128 * _PAGE
"""One page of each stays, so that no 2 MiB in a row are free."""


def settle(size: int) -> mmap.mmap | None:
    """Take `size` bytes and give nearly all back; the rest goes when what is returned is closed.

    Does nothing where it cannot be done, or for no size.
    """
    if sys.platform != "linux" or size < _BLOCK:
        return None
    taken = mmap.mmap(-1, size // _BLOCK * _BLOCK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    taken.madvise(mmap.MADV_NOHUGEPAGE)
    for at in range(0, len(taken), _PAGE):
        taken[at] = 1
    for at in range(0, len(taken), _BLOCK):
        taken.madvise(mmap.MADV_DONTNEED, at + _PAGE, _BLOCK - _PAGE)
    return taken
