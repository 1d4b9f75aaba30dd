"""What a terminal shows of a program: runs it on a pseudo-terminal, and draws the screen as SVG.

Knows what our programs and rich send: text, colours, carriage returns, cursor up, erase line.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
import time
from pathlib import Path

COLUMNS, ROWS = 110, 50
_CODE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])")
_FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class Screen:
    """Lines as they stand; each keeps its own colour codes."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = 0
        self._pending = ""

    def feed(self, text: str) -> None:
        text = self._pending + text
        cut = text.rfind("\x1b")
        self._pending = ""
        if cut >= 0 and not _CODE.match(text, cut):  # half a code: the rest comes
            text, self._pending = text[:cut], text[cut:]
        position = 0
        while position < len(text):
            code = _CODE.match(text, position)
            if code:
                self._obey(code[1], code[2], code[0])
                position = code.end()
                continue
            char = text[position]
            position += 1
            if char == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            elif char != "\r":
                self.lines[self.row] += char

    def _obey(self, argument: str, letter: str, code: str) -> None:
        if letter == "m":
            self.lines[self.row] += code
        elif letter == "A":
            self.row = max(0, self.row - int(argument or 1))
        elif letter == "K":
            self.lines[self.row] = ""

    def text(self) -> str:
        return "\n".join(self.lines).rstrip()


def run(
    argv: list[str], env: dict[str, str], until: str = "", timeout: float = 300.0, code: int = 0
) -> str:
    """What stands on the terminal when the program has ended, or when `until` is to be seen.

    `code` is the exit code that it is to end with.

    Raises:
        RuntimeError: it failed, took too long, or ended before `until` was to be seen.
    """
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    settings = {**env, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    process = subprocess.Popen(
        argv, env=settings, stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True
    )
    os.close(terminal)
    screen = Screen()
    deadline = time.monotonic() + timeout
    seen = ""
    try:
        while time.monotonic() < deadline:
            try:
                data = os.read(main, 65536)
            except OSError:
                data = b""  # Linux says so when the other side is closed
            if not data:
                break
            screen.feed(data.decode(errors="replace"))
            plain = _CODE.sub("", screen.text())
            if until and re.search(until, plain):
                seen = screen.text()
                break
    finally:
        if process.poll() is None and until:
            process.terminate()
        ended = process.wait(timeout=60)
        os.close(main)
    if until and not seen:
        raise RuntimeError(f"{argv}: ended before /{until}/ was to be seen:\n{screen.text()}")
    if not until and ended != code:
        raise RuntimeError(f"{argv}: exit code {ended}:\n{screen.text()}")
    return seen or screen.text()


def picture(text: str, title: str, file: Path) -> None:
    """A screen as an SVG that needs no font from elsewhere."""
    from rich.console import Console
    from rich.text import Text

    content = Text.from_ansi(text)
    width = max((line.cell_len for line in content.split("\n")), default=0)
    console = Console(record=True, width=min(max(width, 60), COLUMNS) + 1, file=io.StringIO())
    console.print(content, soft_wrap=True)
    drawn = console.export_svg(title=title, unique_id=file.stem)
    drawn = re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    drawn = drawn.replace("<svg ", '<svg xml:space="preserve" ', 1)
    drawn = re.sub(r"font-family: (Fira Code|arial)[^;]*;", f"font-family: {_FONT};", drawn)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(drawn + "\n")
