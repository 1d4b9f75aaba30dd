"""``alluxio COMMAND …`` as the pods of a dataset run it."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

from . import admin, files, ufs
from .state import VERSION, Failure, State

ROOT_UFS = "alluxio.master.mount.table.root.ufs"
ROOT_OPTION = "alluxio.master.mount.table.root.option."


def find_state() -> State:
    """The dataset this pod belongs to, by the agent's word or by Alluxio's own options."""
    root = Path(os.environ["FLUIDMODEL_STATE"])
    named = os.environ.get("FLUIDMODEL_DATASET", "")
    if named:
        namespace, _, name = named.partition("/")
        return State(root, namespace, name)
    host = java_options().get("alluxio.master.hostname", "")
    found = re.fullmatch(r"(.+)-master-\d+\.(.+)", host)
    if not found:
        raise Failure(
            "java.lang.RuntimeException: No valid Alluxio master address in the options", 1
        )
    return State(root, found.group(2), found.group(1))


def java_options() -> dict[str, str]:
    """ALLUXIO_JAVA_OPTS as its shell script leaves it: options in back quotes are run there."""
    found: dict[str, str] = {}
    text = os.environ.get("ALLUXIO_JAVA_OPTS", "")
    for name in re.findall(r"`cat ([^`]+)`", text):
        try:
            content = Path(name).read_text().rstrip("\n")
        except OSError:
            print(f"cat: {name}: No such file or directory", file=sys.stderr)
            content = ""
        text = text.replace(f"`cat {name}`", content)
    for key, option in re.findall(r"-D([^=\s]+)=(\S*)", text):
        found.setdefault(key, option)
    return found


def worker_options() -> dict[str, str]:
    """The options as a worker's JVM has them: nothing is read from the master's secret files.

    Fluid gives keys to all containers as the path of a file, and only the master's entry point
    puts the file's content in its place.
    """
    text = re.sub(r"`cat ([^`]+)`", r"\1", os.environ.get("ALLUXIO_JAVA_OPTS", ""))
    found: dict[str, str] = {}
    for key, option in re.findall(r"-D([^=\s]+)=(\S*)", text):
        found.setdefault(key, option)
    return found


def store_options(options: dict[str, str]) -> dict[str, str]:
    """Those of a JVM's options that its clients of stores go by."""
    kinds = ("alluxio.underfs.", "aws.", "s3a.", "fs.")
    return {key: value for key, value in options.items() if key.startswith(kinds)}


def serve(state: State, arguments: list[str]) -> None:
    """What a container's entry point does before it sleeps: the master mounts its root.

    A master whose root cannot be opened comes up all the same; only its log and commands that list
    files say why. With the knob `check_root` it does not come up.
    """
    role = arguments[0] if arguments else ""
    log(f"INFO  PathUtils - Starting Alluxio {role or 'process'}")
    if not role.startswith("master"):
        return
    options = java_options()
    uri = options.get(ROOT_UFS, "/underFSStorage")
    extra = {
        key.removeprefix(ROOT_OPTION): value
        for key, value in options.items()
        if key.startswith(ROOT_OPTION)
    }
    real = os.environ.get("FLUIDMODEL_MOUNTS")
    if real:
        extra["fluidmodel.mounts"] = real
    merged = {**store_options(options), **extra}
    # A worker opens the store itself: with its own options, and over them the mount's.
    by_worker = {**store_options(worker_options()), **extra}
    with state.change() as value:
        value["up"] = False
    log("INFO  MetricsSystem - Starting sinks with config: {}.")
    if "://" in uri:
        try:
            ufs.open_ufs(uri, merged).check()
        except ufs.UfsError as error:
            said = f"alluxio.underfs.s3a.AlluxioS3Exception: {error}"
            if state.knobs()["check_root"]:
                # A JVM needs its seconds to get here; a probe in between finds nobody serving.
                time.sleep(1)
                log("ERROR AlluxioMaster - Failed to create master process")
                print(
                    "java.lang.RuntimeException: java.io.IOException: Failed to mount the root of "
                    f"the Alluxio namespace: {uri}"
                )
                print(f"Caused by: {said}", flush=True)
                raise Failure("", 255) from error
            log(  # as Alluxio 2.9.3 does, which starts all the same
                "WARN  UfsStatusCache - Failed to get result for prefetch job on alluxio path "
                f"/: java.util.concurrent.ExecutionException: {said}"
            )
    with state.change() as value:
        old = value["mounts"].get("/")
        value["mounts"] = {"/": {"ufs": uri, "options": merged, "worker": by_worker}}
        if old and old["ufs"] != uri:
            value["files"], value["blocks"] = {}, {}
        value.pop("synced", None)
        value["up"], value["started"] = True, time.time()
    log(f"INFO  MountTable - Mounting {uri} at /")
    log("INFO  AlluxioMasterProcess - Primary started")


def log(text: str) -> None:
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
    print(f"{stamp},{int(now * 1000) % 1000:03d} {text}", flush=True)


def run(arguments: list[str]) -> None:
    """One command line; raises Failure."""
    force = "-Dalluxio.user.file.metadata.sync.interval=0" in arguments
    arguments = [each for each in arguments if not each.startswith("-D")]
    if arguments[:1] == ["version"]:
        print(VERSION)
        return
    state = find_state()
    if arguments[:1] == ["__serve"]:
        state.apply_knobs(" ".join(["serve", *arguments[1:]]))
        serve(state, arguments[1:])
        return
    if arguments[:1] in (["formatJournal"], ["formatMaster"], ["formatWorker"], ["format"]):
        print("Formatting Alluxio Master")
        return
    if arguments[:2] == ["fsadmin", "report"]:
        print(admin.answer(state, arguments))
        return
    line = " ".join(arguments)
    state.apply_knobs(line)
    if arguments[:1] == ["getConf"]:
        known = {"alluxio.underfs.version": "3.3.1", "alluxio.version": VERSION}
        key = arguments[-1]
        print(known.get(key) or java_options().get(key, ""))
        return
    admin.require_serving(state)
    if arguments[:1] == ["fs"] and len(arguments) > 1:
        verb, rest = arguments[1], arguments[2:]
        if verb == "loadMetadata":
            with state.change() as value:
                files.load_metadata(state, value, True)
            return
        plain = {
            "mount": files.mount,
            "unmount": files.unmount,
            "free": files.free,
            "setReplication": files.set_replication,
        }
        listing = {
            "ls": files.ls,
            "du": files.du,
            "count": files.count,
            "distributedLoad": files.distributed_load,
        }
        if verb in plain:
            plain[verb](state, rest)
            return
        if verb in listing:
            listing[verb](state, rest, force)
            return
        if verb in ("masterInfo", "leader"):
            print(admin.leader(state, verb))
            return
    raise Failure(f"{line} is an unknown command.", 1)


def main() -> int:
    try:
        run(sys.argv[1:])
    except Failure as failure:
        if failure.message:  # on stdout, as the real one's
            print(failure.message)
        return failure.code
    except BrokenPipeError:
        return 141
    return 0


if __name__ == "__main__":
    sys.exit(main())
