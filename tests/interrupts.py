"""Processes that hear Ctrl-C, whatever the shell of the tests does with it.

A shell that runs `make test &` lets its children ignore SIGINT, and what is ignored is inherited.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def interrupts_enabled() -> Iterator[None]:
    """What is started here hears SIGINT and SIGTERM, as it would in a terminal's foreground."""
    with _signal_handlers(signal.default_int_handler):
        yield


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """What is started here ignores SIGINT, as it would behind `&` in a script."""
    with _signal_handlers(signal.SIG_IGN, (signal.SIGINT,)):
        yield


@contextlib.contextmanager
def _signal_handlers(
    how: signal._HANDLER, numbers: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
) -> Iterator[None]:
    # A handler becomes the default when another program is started; "ignored" stays.
    before = {number: signal.signal(number, how) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
