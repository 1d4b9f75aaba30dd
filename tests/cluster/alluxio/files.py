"""``alluxio fs …``: mounts, metadata and the load, in the columns of Alluxio 2.9."""

from __future__ import annotations

import fnmatch
import sys
import time
from typing import Any

from . import ufs
from .state import Failure, State, in_alluxio, live_workers, used

STEP = 0.2


def size_text(count: float) -> str:
    """Alluxio's way to write sizes: a unit is kept up to five of the next one."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if count <= 1024 * 5:
            return f"{int(count)}B" if unit == "B" else f"{count:.2f}{unit}"
        count /= 1024
    return f"{count:.2f}PB"


def sync(state: State, value: dict[str, Any]) -> None:
    """Ask the store of every mount what it holds; what changed there loses its blocks."""
    found: dict[str, Any] = {}
    for point, mount in value["mounts"].items():
        store = ufs.open_ufs(mount["ufs"], mount["options"])
        for file in store.list():
            path = point.rstrip("/") + "/" + file.path
            found[path] = {"size": file.size, "modified": file.modified}
    for path, facts in list(value["files"].items()):
        if found.get(path) != facts:
            value["blocks"].pop(path, None)
    value["files"] = found
    value["synced"] = time.time()


def load_metadata(state: State, value: dict[str, Any], force: bool) -> None:
    """Metadata is loaded once and kept, unless a command asks for it anew."""
    if not force and value.get("synced"):
        return
    try:
        sync(state, value)
    except ufs.UfsError as error:
        raise Failure(str(error)) from error


def under(value: dict[str, Any], path: str) -> list[str]:
    """The files at or below a path; an unknown path is an error, as it is for Alluxio."""
    path = "/" + path.removeprefix("alluxio://").strip("/")
    prefix = path.rstrip("/") + "/"
    found = sorted(each for each in value["files"] if each == path or each.startswith(prefix))
    if not found and path != "/" and path not in value["mounts"]:
        raise Failure(f'Path "{path}" does not exist.')
    return found


def ls(state: State, arguments: list[str], force: bool) -> None:
    flags = {each for each in arguments if each.startswith("-")}
    paths = [each for each in arguments if not each.startswith("-")]
    with state.change() as value:
        load_metadata(state, value, force or "-f" in flags)
        top = "/" + (paths[0] if paths else "/").strip("/")
        files = under(value, top)
    live = live_workers(value, state.knobs())
    rows: dict[str, tuple[int, int, str]] = {}
    folders: dict[str, set[str]] = {}
    for path in files:
        facts = value["files"][path]
        size = int(facts["size"])
        held = in_alluxio(value, path, live)
        percent = 100 if size == 0 else held * 100 // size
        parts = path.removeprefix(top.rstrip("/") + "/").split("/") if path != top else [path]
        below = top.rstrip("/")
        for part in parts[:-1]:
            folders.setdefault(below + "/" + part, set())
            below += "/" + part
            folders[below].add(parts[parts.index(part) + 1])
        if len(parts) == 1 or "-R" in flags:
            rows[path] = (size, int(facts["modified"]), f"{percent}%")
    for folder, children in folders.items():
        if "-R" in flags or folder.rpartition("/")[0] in ("", top.rstrip("/")):
            rows[folder] = (len(children), 0, "DIR")
    for path in sorted(rows):
        size, modified, percent = rows[path]
        shown = size_text(size) if "-h" in flags and percent != "DIR" else str(size)
        print(
            # Modes and owners are not shown, because Fluid turns permissions off.
            f"{shown:>15}{'PERSISTED':>16}{_date(modified):>24}{percent:>5} {path:<5}"
        )


def du(state: State, arguments: list[str], force: bool) -> None:
    flags = {each for each in arguments if each.startswith("-")}
    paths = [each for each in arguments if not each.startswith("-")]
    with state.change() as value:
        load_metadata(state, value, force)
        files = under(value, paths[0])
    live = live_workers(value, state.knobs())

    def row(total: int, held: int, path: str) -> None:
        percent = held * 100 // total if total else 0
        sizes = (size_text(total), size_text(held)) if "-h" in flags else (str(total), str(held))
        print(f"{sizes[0]:<13} {f'{sizes[1]} ({percent}%)':<16} {path}")

    print(f"{'File Size':<13} {'In Alluxio':<16} Path")
    sizes = {path: int(value["files"][path]["size"]) for path in files}
    held = {path: in_alluxio(value, path, live) for path in files}
    if "-s" in flags:
        row(sum(sizes.values()), sum(held.values()), paths[0])
    else:
        for path in files:
            row(sizes[path], held[path], path)


def count(state: State, arguments: list[str], force: bool) -> None:
    with state.change() as value:
        load_metadata(state, value, force)
        files = under(value, arguments[-1])
    folders = {path.rpartition("/")[0] for path in files} - {""}
    total = sum(int(value["files"][path]["size"]) for path in files)
    print(f"{'File Count':<25}{'Folder Count':<25}{'Folder Size':<15}")
    print(f"{len(files):<25}{len(folders):<25}{total:<15}")


def mount(state: State, arguments: list[str]) -> None:
    """List the mounts, or add one after asking its store, as Alluxio does."""
    options: dict[str, str] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--option":
            key, _, option = next(words, "").partition("=")
            options[key] = option
        elif not word.startswith("--"):
            rest.append(word)
    if not rest:
        print("\n".join(_mounts(state.read()["mounts"])))
        return
    point, uri = "/" + rest[0].strip("/"), rest[1]
    try:
        ufs.open_ufs(uri, options).check_mount()
    except ufs.UfsError as error:
        print(_mounting(point, uri, options, "--readonly" in arguments))
        raise Failure(f"{error}") from error
    with state.change() as value:
        value["mounts"][point] = {"ufs": uri, "options": options}
        value.pop("synced", None)
    print(f"Mounted {uri} at {point}")


def _mounts(mounts: dict[str, Any]) -> list[str]:
    """The table of mounts, with their options; keys are masked."""
    lines = []
    wide = max((len(known["ufs"]) for known in mounts.values()), default=0)
    for point, known in sorted(mounts.items()):
        kind = known["ufs"].split("://", 1)[0] if "://" in known["ufs"] else "local"
        shown = {
            key: "******" if "key" in key.lower() else option
            for key, option in known["options"].items()
        }
        properties = ", ".join(f"{key}={option}" for key, option in shown.items())
        lines.append(
            f"{known['ufs']:<{wide}}  on  {point}  ({kind}, capacity=-1B, used=-1B, "
            f"not read-only, not shared, properties={{{properties}}})"
        )
    return lines


def _mounting(point: str, uri: str, options: dict[str, str], read_only: bool) -> str:
    """What is printed of a mount that fails: all of its options, the keys in clear."""
    properties = "".join(
        f'properties {{\n  key: "{key}"\n  value: "{option}"\n}}\n'
        for key, option in sorted(options.items())
    )
    return (
        f"mount command: alluxio fs mount {point} {uri} option "
        f"MountContext{{ProtoOptions=readOnly: {str(read_only).lower()}\n{properties}"
        "shared: false\ncommonOptions {\n  syncIntervalMs: -1\n  ttl: -1\n  ttlAction: FREE\n}\n}\n"
        f"Acquired mount ID for the new mount point: {time.time_ns()}"
    )


def unmount(state: State, arguments: list[str]) -> None:
    point = "/" + arguments[-1].strip("/")
    with state.change() as value:
        if value["mounts"].pop(point, None) is None:
            raise Failure(f"Failed to unmount: Path {point} does not exist")
        for path in [each for each in value["files"] if each.startswith(point.rstrip("/") + "/")]:
            value["files"].pop(path)
            value["blocks"].pop(path, None)
    print(f"Unmounted {point}")


def free(state: State, arguments: list[str]) -> None:
    with state.change() as value:
        for path in under(value, arguments[-1]):
            value["blocks"].pop(path, None)
    print(f"{arguments[-1]} was successfully freed from Alluxio space.")


def set_replication(state: State, arguments: list[str]) -> None:
    with state.change() as value:
        load_metadata(state, value, False)
        under(value, arguments[-1])
        value["replication"][arguments[-1]] = arguments[:-1]
    print(f"Changed the replication level of {arguments[-1]}")
    for flag, name in (("--min", "replicationMin"), ("--max", "replicationMax")):
        if flag in arguments:
            print(f"{name} was set to {arguments[arguments.index(flag) + 1]}")
    print()


def distributed_load(state: State, arguments: list[str], force: bool) -> None:
    """Copy files into the cache, at the rate and with the omissions that the knobs say.

    Like Alluxio's, it exits 0 whatever happened to single files, and gives no reason: that is in
    the workers' logs. Files that are cached already are not counted.
    """
    replication = 1
    if "--replication" in arguments:
        replication = max(1, int(arguments[arguments.index("--replication") + 1]))
    print("Please wait for command submission to finish..", flush=True)
    with state.change() as value:
        load_metadata(state, value, force)
        files = under(value, arguments[-1])
    control = int(time.time() * 1000)
    print(f"Submitted successfully, jobControlId = {control}")
    print("Waiting for the command to finish ...", flush=True)
    loaded, failed = [], []
    for path in files:
        if _is_cached(state, path, replication) or _skipped(state, path):
            continue
        try:
            _load_file(state, path, replication)
        except Failure as error:
            failed.append(path)
            state.log_of_workers(error.message)
        else:
            loaded.append(path)
    print("Get command status information below:")
    for path in loaded:
        print(f"Successfully loaded path {path}")
    print(f"Total completed file count is {len(loaded)}, failed file count is {len(failed)}")
    print(f"Finished running the command, jobControlId = {control}")
    if failed:
        print("Here are failed files: ")
        for path in failed:
            print(f"{path},")
        print("Check out ./logs/user/distributedLoad__failures.csv for full list of failed files.")


def _is_cached(state: State, path: str, replication: int) -> bool:
    """Whether as many live workers as asked for hold all of a file; an empty one has no blocks."""
    value = state.read()
    live = live_workers(value, state.knobs())
    size = int(value["files"].get(path, {}).get("size", 0))
    blocks = value["blocks"].get(path, {})
    whole = [name for name in live if int(blocks.get(name, -1)) >= size]
    return len(whole) >= min(replication, max(1, len(live)))


def _skipped(state: State, path: str) -> bool:
    knobs = state.knobs()
    for pattern, times in knobs["skip_files"].items():
        if fnmatch.fnmatch(path, pattern) or fnmatch.fnmatch(path.rpartition("/")[2], pattern):
            with state.change() as value:
                key = f"{knobs.get('generation', 0)} skip {pattern} {path}"
                seen = int(value["counters"].get(key, 0))
                value["counters"][key] = seen + 1
            return seen < int(times)
    return False


def _load_file(state: State, path: str, replication: int) -> None:
    knobs = state.knobs()
    if knobs["read_files"]:
        value = state.read()
        point = max(
            (each for each in value["mounts"] if path.startswith(each.rstrip("/") + "/")),
            key=len,
            default="/",
        )
        known = value["mounts"].get(point)
        if known:
            try:
                store = ufs.open_ufs(known["ufs"], known.get("worker", known["options"]))
                store.probe(path.removeprefix(point.rstrip("/") + "/"))
            except ufs.UfsError as error:
                raise Failure(str(error)) from error
    last = time.monotonic()
    while True:
        rate = float(state.knobs()["load_bytes_per_second"])
        if rate:
            time.sleep(STEP)
        now = time.monotonic()
        budget = int(rate * (now - last)) if rate else sys.maxsize
        last = now
        if _copy(state, path, replication, budget):
            return


def _copy(state: State, path: str, replication: int, budget: int) -> bool:
    """Put at most ``budget`` more bytes of a file on its workers; True when it is all there."""
    with state.change() as value:
        live = live_workers(value, state.knobs())
        facts = value["files"].get(path)
        if facts is None or not value["up"]:
            raise Failure(f"alluxio.exception.FileDoesNotExistException: {path} does not exist")
        if not live:
            raise Failure(
                "alluxio.exception.status.UnavailableException: No available Alluxio worker found"
            )
        size = int(facts["size"])
        blocks = value["blocks"].setdefault(path, {})
        room = {worker: live[worker] - used(value, worker) for worker in live}
        chosen = sorted(live, key=lambda each: (-int(blocks.get(each, 0)), -room[each], each))
        complete = True
        for worker in chosen[:replication]:
            have = int(blocks.get(worker, 0))
            step = min(size - have, budget, max(0, room[worker]))
            budget -= step
            blocks[worker] = have + step
            if have + step < size:
                # A full worker evicts other blocks, and at last its own: it says nothing of it.
                complete = complete and room[worker] <= step
        return complete


def _date(millis: int) -> str:
    moment = time.gmtime(millis / 1000)
    return time.strftime("%m-%d-%Y %H:%M:%S:", moment) + f"{millis % 1000:03d}"
