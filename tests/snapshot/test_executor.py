"""Few at once while each ends soon, all of them where one waits."""

from __future__ import annotations

import threading
import time

import pytest

from kubectl_fluidmodel.snapshot.executor import AdaptiveExecutor


class Work:
    """Notes how many of it were under way at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now, self.most = seconds, 0, 0
        self.lock = threading.Lock()

    def __call__(self, value: int) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self.lock:
            self.now -= 1
        return value


def run(work: Work, count: int) -> list[int]:
    with AdaptiveExecutor() as crew:
        running = [crew.submit(work, value) for value in range(count)]
        return [future.result() for future in running]


def test_few_at_once_while_each_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_fluidmodel.snapshot.executor._GROW_AFTER", 60.0)
    work = Work(0.002)
    assert run(work, 12) == list(range(12))
    assert work.most == 2


def test_slow_ones_do_not_wait_for_each_other() -> None:
    work = Work(0.5)
    start = time.monotonic()
    assert run(work, 8) == list(range(8))
    assert work.most == 8
    assert time.monotonic() - start < 1.9  # two by two it would be 2 s


def test_an_exception_is_raised_and_frees_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_fluidmodel.snapshot.executor._GROW_AFTER", 60.0)

    def fail() -> None:
        raise ValueError("no")

    with AdaptiveExecutor() as crew:
        failing = [crew.submit(fail) for _ in range(5)]
        for future in failing:
            with pytest.raises(ValueError, match="no"):
                future.result()
        assert crew.submit(lambda: 7).result(timeout=10) == 7
