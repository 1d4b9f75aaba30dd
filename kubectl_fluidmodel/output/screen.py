"""A text that is drawn over and over in the same place of a terminal."""

from __future__ import annotations

import re
import shutil
from typing import IO

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"


class Screen:
    """`with Screen(sys.stdout) as screen: screen.draw(text)`; the last text stays."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._columns = 0

    def __enter__(self) -> Screen:
        self._stream.write(_HIDE)
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.write(_SHOW)
        self._stream.flush()

    @property
    def width(self) -> int:
        return shutil.get_terminal_size().columns

    def draw(self, text: str, footer: str = "") -> None:
        """Replace what was drawn; what the terminal has no lines for is counted at its end."""
        columns, rows = shutil.get_terminal_size()
        lines = text.splitlines()
        room = max(rows - (2 if footer else 1), 1)
        if len(lines) > room:
            lines = [*lines[: room - 1], f"… {len(lines) - room + 1} more lines"]
        if footer:
            lines.append(f"\x1b[2m{footer[:columns]}\x1b[0m")
        if lines == self._lines and columns == self._columns:
            return
        # The terminal may have another width by now, and what was drawn other lines in it.
        above = sum(-(-max(_length(line), 1) // columns) for line in self._lines)
        up = f"\x1b[{above}A" if above else ""
        body = "".join(f"{line}\x1b[K\n" for line in lines)
        self._stream.write(f"\r{up}{body}\x1b[J")
        self._stream.flush()
        self._lines, self._columns = lines, columns


def _length(line: str) -> int:
    return len(_STYLE.sub("", line))
