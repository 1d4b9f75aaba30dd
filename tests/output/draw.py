"""`python -m tests.output.draw`: the live view on this terminal for a moment, as a user gets it."""

from __future__ import annotations

import time

from kubectl_fluidmodel.cache.progress import CacheProgress
from kubectl_fluidmodel.output.live import ProgressView
from kubectl_fluidmodel.output.progress import Step

GIB = 1 << 30


def main() -> None:
    steps = (
        Step("master", "done", "ready on gpu-1"),
        Step("workers", "running", "1 of 2 ready, on " + ", ".join(f"node-{i}" for i in range(40))),
        Step("load", "running", "Executing"),
    )
    trouble = "trouble " + "x" * 30 + " " + "y" * 150
    with ProgressView() as view:
        view.update(CacheProgress(steps, 5 * GIB, 10 * GIB, (trouble,)))
        time.sleep(0.3)
        view.log("a line that stays")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
