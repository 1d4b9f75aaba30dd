"""``alluxio fsadmin report …``: what Fluid's controllers read to learn how full the cache is."""

from __future__ import annotations

import time
from typing import Any

from .files import size_text
from .state import State, live_workers, used

SOURCES = ("Local", "Remote", "UfsAll")


def report(state: State, arguments: list[str]) -> None:
    category = arguments[0] if arguments else "summary"
    value, knobs = state.read(), state.knobs()
    if category == "metrics":
        metrics(value, knobs)
    elif category == "capacity":
        capacity(state, value, knobs)
    else:
        summary(state, value, knobs)


def summary(state: State, value: dict[str, Any], knobs: dict[str, Any]) -> None:
    live = live_workers(value, knobs)
    total = sum(live.values())
    held = sum(used(value, worker) for worker in live)
    tier = _tier(value)
    started = float(value.get("started", time.time()))
    up = int(time.time() - started)
    lost = len(value["workers"]) - len(live)
    lines = [
        "Alluxio cluster summary: ",
        f"    Master Address: {state.name}-master-0.{state.namespace}:19998",
        "    Web Port: 19999",
        "    Rpc Port: 19998",
        "    Live Master Num: 1",
        time.strftime("    Started: %m-%d-%Y %H:%M:%S:000", time.gmtime(started)),
        f"    Uptime: {up // 86400} day(s), {up // 3600 % 24} hour(s), {up // 60 % 60} minute(s), "
        f"and {up % 60} second(s)",
        "    Version: 2.9.0",
        "    Safe Mode: false",
        "    Zookeeper Enabled: false",
        f"    Live Workers: {len(live)}",
        f"    Lost Workers: {max(0, lost)}",
        f"    Total Capacity: {size_text(total)}",
        f"        Tier: {tier}  Size: {size_text(total)}",
        f"    Used Capacity: {size_text(held)}",
        f"        Tier: {tier}  Size: {size_text(held)}",
        f"    Free Capacity: {size_text(total - held)}",
    ]
    print("\n".join(lines))


def metrics(value: dict[str, Any], knobs: dict[str, Any]) -> None:
    print(
        f"Total I/O: \n    Master.FilesCompleted  (Type: COUNTER, Value: {len(value['files']):,})"
    )
    for name in SOURCES:
        read = size_text(knobs["reads"].get(name, 0))
        print(f"    Cluster.BytesRead{name}  (Type: COUNTER, Value: {read})")
    for name in ("BytesReadLocal", "BytesReadRemote", "BytesReadUfs"):
        print(f"    Cluster.{name}Throughput  (Type: GAUGE, Value: 0B/MIN)")


def capacity(state: State, value: dict[str, Any], knobs: dict[str, Any]) -> None:
    live = live_workers(value, knobs)
    total = sum(live.values())
    held = sum(used(value, worker) for worker in live)
    tier = _tier(value)
    percent = held * 100 // total if total else 0
    print("Capacity information for all workers: ")
    print(f"    Total Capacity: {size_text(total)}")
    print(f"        Tier: {tier}  Size: {size_text(total)}")
    print(f"    Used Capacity: {size_text(held)}")
    print(f"        Tier: {tier}  Size: {size_text(held)}")
    if total:
        print(f"    Used Percentage: {percent}%\n    Free Percentage: {100 - percent}%")

    def row(*cells: str) -> None:
        widths = (16, 16, 13, 16, 13, 13, 13)
        print(" ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)))

    print()
    row("Worker Name", "Last Heartbeat", "Storage", "Total", "MEM", "SSD", "HDD")
    tiers = ("MEM", "SSD", "HDD")
    for worker, room in live.items():
        holds = used(value, worker)
        share = f" ({holds * 100 // room}%)" if room else ""
        node = str(value["workers"][worker].get("node", worker))
        row(
            node,
            "0",
            "Capacity",
            size_text(room),
            *(size_text(room if each == tier else 0) for each in tiers),
        )
        row(
            "",
            "",
            "Used",
            size_text(holds) + share,
            *(size_text(holds if each == tier else 0) for each in tiers),
        )


def _tier(value: dict[str, Any]) -> str:
    kinds = {str(worker.get("medium", "MEM")) for worker in value["workers"].values()}
    return sorted(kinds)[0] if kinds else "MEM"
