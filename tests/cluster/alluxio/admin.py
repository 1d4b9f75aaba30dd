"""``alluxio fsadmin report …``: what Fluid's controllers read to learn how full the cache is."""

from __future__ import annotations

import time
from typing import Any

from .files import size_text
from .state import VERSION, Failure, State, all_workers, live_workers, used

NOT_SERVING = (
    "The Alluxio leader master is not currently serving requests.\n"
    "Please check your Alluxio master status"
)

SOURCES = ("Local", "Remote", "UfsAll")
REVISION = "0" * 40
#: Seconds since the last heartbeat of a worker that is lost: more than any live one's.
SILENCE = 320
PORT = 19998


def answer(state: State, arguments: list[str]) -> str:
    """What `alluxio fsadmin report …` prints.

    Raises:
        Failure: the master does not run, or the knobs let the command fail.
    """
    state.apply_knobs(" ".join(arguments))
    require_serving(state)
    value, knobs = state.read(), state.knobs()
    category, flags = (arguments[2] if len(arguments) > 2 else "summary"), arguments[3:]
    if category == "metrics":
        return metrics(value, knobs)
    if category == "capacity":
        return capacity(value, knobs, flags)
    return summary(state, value, knobs)


def require_serving(state: State) -> None:
    """Raise Failure unless the master runs."""
    if not state.read()["up"]:
        raise Failure(NOT_SERVING, 1)


def summary(state: State, value: dict[str, Any], knobs: dict[str, Any]) -> str:
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
    return "\n".join(lines)


def leader(state: State, verb: str) -> str:
    address = _address(state)
    if verb == "leader":
        note = "This command will be deprecated as of v3.0, please use masterInfo command"
        return f"{note}\n{address.partition('/')[0]}"
    return f"Current leader master: {address}\nAll masters: [{address}]"


def metrics(value: dict[str, Any], knobs: dict[str, Any]) -> str:
    found = {"Master.FilesCompleted": ("COUNTER", f"{len(value['files']):,}")}
    for name in SOURCES:
        read = size_text(knobs["reads"].get(name, 0))
        found[f"Cluster.BytesRead{name}"] = ("COUNTER", read)
    for name in ("BytesReadLocal", "BytesReadRemote", "BytesReadUfs"):
        found[f"Cluster.{name}Throughput"] = ("GAUGE", "0B/MIN")
    return "\n".join(
        f"{name}  (Type: {kind}, Value: {count})" for name, (kind, count) in sorted(found.items())
    )


def capacity(value: dict[str, Any], knobs: dict[str, Any], flags: list[str]) -> str:
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
    lines = [f"Capacity information for {kind} workers: ", *_sizes(tier, total, held)]
    if total:
        lines += [f"    Used Percentage: {percent}%", f"    Free Percentage: {100 - percent}%"]

    def row(*cells: str) -> None:
        widths = (16, 16, 13, 16, 16, 40)
        padded = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append(" ".join(padded))

    lines.append("")
    row("Worker Name", "Last Heartbeat", "Storage", tier, "Version", "Revision")
    for worker, room in workers.items():
        holds = used(value, worker)
        share = f" ({holds * 100 // room}%)" if room else ""
        node = str(value["workers"][worker].get("node", worker))
        beat = "0" if worker in live else str(SILENCE)
        row(node, beat, "capacity", size_text(room), VERSION, REVISION)
        row("", "", "used", size_text(holds) + share, "", "")
    return "\n".join(lines)


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
