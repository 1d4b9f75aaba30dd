"""`inspect -w`: redrawn in place on a terminal, changed lines elsewhere.

Nothing is polled. After a change it waits a moment for those that come with it, and at least
twenty times as long as drawing took: a busy cluster costs a twentieth of a core.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence

import click

from kubectl_fluidmodel.inspect import document, table_view
from kubectl_fluidmodel.inspect.details import Inspection
from kubectl_fluidmodel.inspect.run import View
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ClusterUnreachable
from kubectl_fluidmodel.output.screen import Screen
from kubectl_fluidmodel.output.serialize import to_yaml
from kubectl_fluidmodel.output.text import note, wants_color
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from kubectl_fluidmodel.snapshot.watcher import Stream

_GATHER = 0.3
"""Seconds to wait for the changes that come with one."""
_SHARE = 20.0
_AGES = 10.0
"""Seconds between two drawings where nothing changes but ages."""
_PATIENCE = 30.0
"""Seconds in which the first lists must be there."""


def follow(client: Client, view: View) -> int:
    """Show a view until it is interrupted."""
    stream = Stream(client, view.namespace, queries.INSPECT)
    try:
        _first(stream)
        if sys.stdout.isatty() and view.output not in ("json", "yaml"):
            _on_screen(stream, view)
        else:
            _as_lines(stream, view)
    finally:
        stream.close()
    return 0


def _first(stream: Stream) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not stream.feed.ready():
        stream.feed.next(0.5)
        if time.monotonic() > deadline:
            why = stream.feed.trouble or "it does not answer"
            raise ClusterUnreachable("cannot follow the cluster", why)


def _turns(stream: Stream, draw: Callable[[bool], None]) -> None:
    """Draw now, after changes, and from time to time for the ages."""
    changed = True
    while True:
        began = time.thread_time()
        draw(changed)
        spent = time.thread_time() - began
        quiet = time.monotonic() + max(_GATHER, spent * _SHARE)
        changed = stream.feed.next(_AGES) is not None
        while changed and time.monotonic() < quiet:
            left = quiet - time.monotonic()
            time.sleep(max(0.0, min(left, 0.1 if left < 0.2 else left)))
        while stream.feed.next(0.0) is not None:
            changed = True


def _on_screen(stream: Stream, view: View) -> None:
    color = wants_color(sys.stdout, view.color)
    with Screen(sys.stdout) as screen:

        def draw(_: bool) -> None:
            snapshot = stream.snapshot()
            caches = _look(view, snapshot)
            text = view.empty() + "\n"
            if caches:
                text, _left_out = view.text(caches, snapshot, screen.width, color)
            elif view.name:
                text = f"there is no cache {view.name} in namespace {view.namespace}\n"
            screen.draw(text, _footer(stream))

        _turns(stream, draw)


def _footer(stream: Stream) -> str:
    if stream.feed.trouble:
        return f"the API server is out of reach ({stream.feed.trouble}), trying again"
    hidden = ", ".join(sorted(kind.plural for kind in stream.feed.denied))
    return f"following changes, Ctrl-C ends{f'; may not see {hidden}' if hidden else ''}"


def _look(view: View, snapshot: Snapshot) -> list[Inspection]:
    """The caches now; one that is gone is no failure while we watch."""
    caches = view.caches(snapshot)
    if not caches:
        return []
    return view.inspections(snapshot, caches=caches, files_why="not asked while watching")


def _as_lines(stream: Stream, view: View) -> None:
    said = Said(view)

    def draw(changed: bool) -> None:
        if stream.feed.trouble:
            said.trouble(stream.feed.trouble)
            return
        said.trouble("")
        if changed:
            snapshot = stream.snapshot()
            said.show(_look(view, snapshot), snapshot)

    _turns(stream, draw)


class Said:
    """What was printed, so that only what is new is printed again."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._rows: dict[tuple[str, str], list[str]] = {}
        self._lines: list[str] = []
        self._document = ""
        self._widths: list[int] | None = None
        self._trouble = ""

    def trouble(self, why: str) -> None:
        if why != self._trouble:
            self._trouble = why
            note(f"note: the API server is out of reach: {why}" if why else "note: it is back")

    def show(self, caches: Sequence[Inspection], snapshot: Snapshot) -> None:
        view = self._view
        if view.output in ("json", "yaml"):
            self._documents(caches, snapshot)
        elif view.name or view.output == "tree":
            self._changed_lines(view.text(caches, snapshot, None, False)[0] if caches else "")
        else:
            self._changed_rows(caches)

    def _documents(self, caches: Sequence[Inspection], snapshot: Snapshot) -> None:
        if self._view.name and not caches:
            return
        shown = (
            document.single(caches[0], snapshot)
            if self._view.name
            else document.listed(caches, snapshot)
        )
        bare = json.dumps(_ageless(shown), sort_keys=True)
        if bare == self._document:
            return
        self._document = bare
        if self._view.output == "json":
            click.echo(json.dumps(shown, ensure_ascii=True))
        else:
            click.echo("---\n" + to_yaml(shown), nl=False)

    def _changed_lines(self, text: str) -> None:
        """A tree or one cache: whole at first, then each line that was not there before."""
        lines = text.splitlines()
        before = set(self._lines)
        first, self._lines = not self._lines, lines
        for line in lines if first else [line for line in lines if line.strip()]:
            if first or line not in before:
                click.echo(line)

    def _changed_rows(self, caches: Sequence[Inspection]) -> None:
        view = self._view
        wide = view.output == "wide"
        columns = table_view.columns(view.everywhere, wide)
        age = next(i for i, column in enumerate(columns) if column.title == "AGE")
        now = {
            (one.namespace, one.name): [
                cell.text for cell in table_view.row(one, view.everywhere, wide)
            ]
            for one in caches
        }
        gone = [key for key in self._rows if key not in now]
        if self._widths is None:
            self._widths = [
                max(len(column.title), *(len(row[i]) for row in now.values()), 0)
                for i, column in enumerate(columns)
            ]
            if view.header and now:
                self._line([column.title for column in columns])
            if not now:
                note(view.empty())
                self._widths = None
        for key, cells in now.items():
            before = self._rows.get(key)
            if before is None or _without(before, age) != _without(cells, age):
                self._line(cells)
        for key in gone:
            cells = self._rows[key]
            phase = next(i for i, column in enumerate(columns) if column.title == "PHASE")
            self._line([*cells[:phase], "Gone", *cells[phase + 1 :]])
        self._rows = now

    def _line(self, cells: Sequence[str]) -> None:
        widths = self._widths or [0] * len(cells)
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        click.echo("   ".join(padded).rstrip())


def _without(cells: Sequence[str], index: int) -> list[str]:
    return [cell for i, cell in enumerate(cells) if i != index]


def _ageless(shown: dict[str, object]) -> dict[str, object]:
    items = shown.get("items")
    if isinstance(items, list):
        return {**shown, "items": [{**item, "ageSeconds": None} for item in items]}
    return {**shown, "ageSeconds": None}
