"""Trees with a mark at each line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kubectl_fluidmodel.output.table import cut, paint
from kubectl_fluidmodel.output.text import printable

_MARKS = {"good": "✓", "warn": "!", "bad": "✗"}


class BranchLike(Protocol):
    """One line of a tree, its mark, and the lines below it."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def level(self) -> str: ...
    @property
    def below(self) -> Sequence[BranchLike]: ...


def draw(roots: Sequence[BranchLike], *, width: int | None = None, color: bool = False) -> str:
    """Every tree, one below the other."""
    lines: list[str] = []
    for root in roots:
        _line(lines, root, "", "", width, color)
    return "".join(f"{line}\n" for line in lines)


def _line(
    lines: list[str],
    branch: BranchLike,
    first: str,
    rest: str,
    width: int | None,
    color: bool,
) -> None:
    mark = _MARKS.get(branch.level, "·")
    kind, name, state = (
        printable(" ".join(text.split())) for text in (branch.kind, branch.name, branch.state)
    )
    taken = len(first) + 2
    if width is not None:
        kind = cut(kind, max(width - taken, 8))
        name = cut(name, max(width - taken - len(kind) - 1, 8), "ends")
        state = cut(state, max(width - taken - len(kind) - len(name) - 3, 0))
    words = [
        paint(kind, "dim", color),
        paint(name, "bold", color),
        (" " if state else "") + paint(state, branch.level, color),
    ]
    painted = paint(mark, branch.level, color)
    text = " ".join(word for word in words if word)
    lines.append(f"{paint(first, 'dim', color)}{painted} {text}")
    for index, below in enumerate(branch.below):
        last = index == len(branch.below) - 1
        _line(
            lines,
            below,
            rest + ("└─ " if last else "├─ "),
            rest + ("   " if last else "│  "),
            width,
            color,
        )
