"""``alluxio fsadmin report …``: what Fluid's controllers read to learn how full the cache is."""

from __future__ import annotations

import time
from typing import Any

from .files import size_text
from .state import VERSION, State, all_workers, live_workers, used

SOURCES = ("Local", "Remote", "UfsAll")
REVISION = "0" * 40
#: Seconds since the last heartbeat of a worker that is lost: more than any live one's.
SILENCE = 320
PORT = 19998


def report(state: State, arguments: list[str]) -> None:
    category = arguments[0] if arguments else "summary"
    value, knobs = state.read(), state.knobs()
    if category == "metrics":
        metrics(value, knobs)
    elif category == "capacity":
        capacity(value, knobs, arguments[1:])
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
        f"    Master Address: {_address(state)}",
        f"    Web Port: {PORT + 1}",
        f"    Rpc Port: {PORT}",
        time.strftime("    Started: %m-%d-%Y %H:%M:%S:000", time.gmtime(started)),
        f"    Uptime: {up // 86400} day(s), {up // 3600 % 24} hour(s), {up // 60 % 60} minute(s), "
        f"and {up % 60} second(s)",
        f"    Version: {VERSION}",
        "    Safe Mode: false",
        "    Zookeeper Enabled: false",
        "    Raft-based Journal: false",
        f"    Live Workers: {len(live)}",
        f"    Lost Workers: {max(0, lost)}",
        *_sizes(tier, total, held),
        f"    Free Capacity: {size_text(total - held)}",
    ]
    print("\n".join(lines))


def leader(state: State, verb: str) -> None:
    if verb == "leader":
        print("This command will be deprecated as of v3.0, please use masterInfo command")
        print(_address(state).partition("/")[0])
        return
    print(f"Current leader master: {_address(state)}")
    print(f"All masters: [{_address(state)}]")


def metrics(value: dict[str, Any], knobs: dict[str, Any]) -> None:
    found = {"Master.FilesCompleted": ("COUNTER", f"{len(value['files']):,}")}
    for name in SOURCES:
        read = size_text(knobs["reads"].get(name, 0))
        found[f"Cluster.BytesRead{name}"] = ("COUNTER", read)
    for name in ("BytesReadLocal", "BytesReadRemote", "BytesReadUfs"):
        found[f"Cluster.{name}Throughput"] = ("GAUGE", "0B/MIN")
    for name, (kind, count) in sorted(found.items()):
        print(f"{name}  (Type: {kind}, Value: {count})")


def capacity(value: dict[str, Any], knobs: dict[str, Any], flags: list[str]) -> None:
    """What the workers hold: without a flag, also the lost ones, with their old bytes."""
    live, known = live_workers(value, knobs), all_workers(value, knobs)
    lost = {name: room for name, room in known.items() if name not in live}
    kind, workers = "all", known
    if flags:
        kind, workers = ("live", live) if flags[0] == "-live" else ("lost", lost)
    total = sum(workers.values())
    held = sum(used(value, worker) for worker in workers)
    tier = _tier(value)
    percent = held * 100 // total if total else 0
    print(f"Capacity information for {kind} workers: ")
    print("\n".join(_sizes(tier, total, held)))
    if total:
        print(f"    Used Percentage: {percent}%\n    Free Percentage: {100 - percent}%")

    def row(*cells: str) -> None:
        widths = (16, 16, 13, 16, 16, 40)
        print(" ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)))

    print()
    row("Worker Name", "Last Heartbeat", "Storage", tier, "Version", "Revision")
    for worker, room in workers.items():
        holds = used(value, worker)
        share = f" ({holds * 100 // room}%)" if room else ""
        node = str(value["workers"][worker].get("node", worker))
        beat = "0" if worker in live else str(SILENCE)
        row(node, beat, "capacity", size_text(room), VERSION, REVISION)
        row("", "", "used", size_text(holds) + share, "", "")


def _sizes(tier: str, total: int, held: int) -> list[str]:
    """Two sums, each with what the tier has of it; of no workers there is no tier."""
    lines = []
    for name, size in (("Total", total), ("Used", held)):
        lines.append(f"    {name} Capacity: {size_text(size)}")
        if total:
            lines.append(f"        Tier: {tier}  Size: {size_text(size)}")
    return lines


def _address(state: State) -> str:
    return f"{state.name}-master-0.{state.namespace}/<unresolved>:{PORT}"


def _tier(value: dict[str, Any]) -> str:
    kinds = {str(worker.get("medium", "MEM")) for worker in value["workers"].values()}
    return sorted(kinds)[0] if kinds else "MEM"
