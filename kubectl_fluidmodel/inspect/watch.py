"""`inspect -w`: redraws in place on a terminal, prints changed lines elsewhere.

Does not poll. After a change, it waits briefly for related changes, and at least twenty times as
long as drawing took, so a busy cluster costs a twentieth of a core.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence

import click

from kubectl_fluidmodel.inspect import document_view, table_view, wide_table_view
from kubectl_fluidmodel.inspect.details import LiveDetails
from kubectl_fluidmodel.inspect.doctor_warnings import describe_with_warnings
from kubectl_fluidmodel.inspect.run import InspectCommand
from kubectl_fluidmodel.inspect.summary import summarize_caches
from kubectl_fluidmodel.inspect.view import ViewContext, load_view
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.kube.wait import wait_until
from kubectl_fluidmodel.output.console import can_redraw, print_note, wants_color
from kubectl_fluidmodel.output.live import TextView
from kubectl_fluidmodel.output.serialize import to_yaml
from kubectl_fluidmodel.output.table import Cell, Column
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from kubectl_fluidmodel.snapshot.watcher import SnapshotWatcher

_SETTLE_TIME = 0.3
"""Seconds to wait for related changes."""
_IDLE_FACTOR = 20.0
_REDRAW_INTERVAL = 10.0
"""Seconds between two updates if only ages change."""
_SYNC_TIMEOUT = 30.0
"""Timeout in seconds for the first lists."""


def watch_caches(client: Client, command: InspectCommand) -> int:
    """Show a view until it is interrupted."""
    stream = SnapshotWatcher(client, command.namespace, queries.INSPECT_QUERIES)
    try:
        stream.start()
        _wait_for_sync(stream)
        if can_redraw(sys.stdout) and command.options.output not in ("json", "yaml"):
            _watch_on_terminal(stream, command)
        else:
            _watch_as_lines(stream, command)
    finally:
        stream.close()
    return 0


def _wait_for_sync(watcher: SnapshotWatcher) -> None:
    """Raises: ClusterUnreachableError: the first lists are not complete in time."""
    informer = watcher.informer
    if not wait_until(informer, informer.has_synced, time.monotonic() + _SYNC_TIMEOUT):
        reason = informer.last_error or "it does not respond"
        raise ClusterUnreachableError("cannot watch the cluster", reason)


def _redraw_loop(stream: SnapshotWatcher, draw: Callable[[bool], None]) -> None:
    """Draw now, after changes, and periodically for the ages."""
    changed = True
    while True:
        began = time.thread_time()
        draw(changed)
        spent = time.thread_time() - began
        quiet = time.monotonic() + max(_SETTLE_TIME, spent * _IDLE_FACTOR)
        changed = stream.informer.next_event(_REDRAW_INTERVAL) is not None
        while changed and time.monotonic() < quiet:
            remaining = quiet - time.monotonic()
            time.sleep(max(0.0, min(remaining, 0.1 if remaining < 0.2 else remaining)))
        while stream.informer.next_event(0.0) is not None:
            changed = True


def _watch_on_terminal(stream: SnapshotWatcher, command: InspectCommand) -> None:
    color, view = wants_color(sys.stdout, command.options.color), load_view(command.options)
    with TextView(sys.stdout, color=color) as screen:

        def draw(_: bool) -> None:
            context = _current_context(command, stream.snapshot(), screen.width, color)
            text = command.empty_message() + "\n"
            if context.caches:
                text = view.render(context).text
            elif command.options.name:
                text = (
                    f"there is no cache {command.options.name} in namespace {command.namespace}\n"
                )
            screen.draw(text, _footer(stream))

        _redraw_loop(stream, draw)


def _footer(stream: SnapshotWatcher) -> str:
    if stream.informer.last_error:
        return f"the API server is unreachable ({stream.informer.last_error}), retrying"
    hidden = ", ".join(sorted(kind.plural for kind in stream.informer.denied))
    return (
        f"watching for changes, Ctrl-C ends{f'; no permission to read {hidden}' if hidden else ''}"
    )


def _current_context(
    command: InspectCommand, snapshot: Snapshot, width: int | None = None, color: bool = False
) -> ViewContext:
    """Return the current caches; while watching, a missing cache is not an error."""
    return ViewContext(
        snapshot,
        command.select_caches(snapshot),
        command.options,
        command.namespace,
        LiveDetails(files_reason="not read while watching"),
        width,
        color,
    )


def _watch_as_lines(stream: SnapshotWatcher, command: InspectCommand) -> None:
    printer = ChangePrinter(command)

    def draw(changed: bool) -> None:
        if stream.informer.last_error:
            printer.print_outage(stream.informer.last_error)
            return
        printer.print_outage("")
        if changed:
            printer.print_changes(_current_context(command, stream.snapshot()))

    _redraw_loop(stream, draw)


class ChangePrinter:
    """Prints only what changed since the last output."""

    def __init__(self, view: InspectCommand) -> None:
        self._command = view
        self._rows: dict[tuple[str, str], list[str]] = {}
        self._lines: list[str] = []
        self._document = ""
        self._widths: list[int] | None = None
        self._outage = ""

    def print_outage(self, reason: str) -> None:
        if reason != self._outage:
            self._outage = reason
            print_note(
                f"note: the API server is unreachable: {reason}"
                if reason
                else "note: the API server is reachable again"
            )

    def print_changes(self, context: ViewContext) -> None:
        options = context.options
        if options.output in ("json", "yaml"):
            self._print_document(context)
        elif options.name or options.output == "tree":
            text = load_view(options).render(context).text if context.caches else ""
            self._print_changed_lines(text)
        else:
            self._print_changed_rows(context)

    def _print_document(self, context: ViewContext) -> None:
        if context.options.name and not context.caches:
            return
        shown = document_view.document(context)
        ageless = json.dumps(_without_age(shown), sort_keys=True)
        if ageless == self._document:
            return
        self._document = ageless
        if self._command.options.output == "json":
            click.echo(json.dumps(shown, ensure_ascii=True))
        else:
            click.echo("---\n" + to_yaml(shown), nl=False)

    def _print_changed_lines(self, text: str) -> None:
        """Print a tree or one cache: completely at first, then only new lines."""
        lines = text.splitlines()
        before = set(self._lines)
        first, self._lines = not self._lines, lines
        for line in lines if first else [line for line in lines if line.strip()]:
            if first or line not in before:
                click.echo(line)

    def _print_changed_rows(self, context: ViewContext) -> None:
        command = self._command
        columns, now = _table(context)
        age = next(i for i, column in enumerate(columns) if column.title == "AGE")
        removed = [key for key in self._rows if key not in now]
        if self._widths is None:
            self._widths = [
                max(len(column.title), *(len(row[i]) for row in now.values()), 0)
                for i, column in enumerate(columns)
            ]
            if command.options.header and now:
                self._print_row([column.title for column in columns])
            if not now:
                print_note(command.empty_message())
                self._widths = None
        for key, cells in now.items():
            before = self._rows.get(key)
            if before is None or _without_cell(before, age) != _without_cell(cells, age):
                self._print_row(cells)
        for key in removed:
            cells = self._rows[key]
            phase = next(i for i, column in enumerate(columns) if column.title == "PHASE")
            self._print_row([*cells[:phase], "Gone", *cells[phase + 1 :]])
        self._rows = now

    def _print_row(self, cells: Sequence[str]) -> None:
        widths = self._widths or [0] * len(cells)
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        click.echo("   ".join(padded).rstrip())


def _table(context: ViewContext) -> tuple[list[Column], dict[tuple[str, str], list[str]]]:
    """The columns, and the texts of a row by (namespace, name) of its cache."""
    namespaces = context.options.all_namespaces
    rows: dict[tuple[str, str], list[Cell]]
    if context.options.output == "wide":
        columns = wide_table_view.wide_columns(namespaces)
        rows = {
            (cache.namespace, cache.name): wide_table_view.wide_row(cache, namespaces)
            for cache in describe_with_warnings(context)
        }
    else:
        columns = table_view.table_columns(namespaces)
        rows = {
            (cache.namespace, cache.name): table_view.table_row(cache, namespaces)
            for cache in summarize_caches(context)
        }
    return columns, {key: [cell.text for cell in cells] for key, cells in rows.items()}


def _without_cell(cells: Sequence[str], index: int) -> list[str]:
    return [cell for i, cell in enumerate(cells) if i != index]


def _without_age(shown: dict[str, object]) -> dict[str, object]:
    items = shown.get("items")
    if isinstance(items, list):
        return {**shown, "items": [{**item, "ageSeconds": None} for item in items]}
    return {**shown, "ageSeconds": None}
