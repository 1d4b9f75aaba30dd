"""The pure parts of `python -m bench.settings`: variants, the write-up's YAML, tables, targets."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
import yaml

from bench.plane import loader
from bench.plane.model import write_model
from bench.settings import __main__ as bench_settings
from bench.settings import figures
from bench.settings.__main__ import load_rounds
from bench.settings.caches import COLD_FOLDER, SEED_FILE, Caches
from bench.settings.figures import (
    Load,
    Measured,
    Read,
    costs_table,
    load_seconds,
    rates_table,
    targets_table,
)
from bench.settings.variants import (
    CACHE,
    Variant,
    changed_runtime,
    parse_variant,
    seed_objects,
)
from bench.writeup import __main__ as bench_writeup
from kubectl_fluidmodel.fluid.alluxio_runtime import build_runtime
from kubectl_fluidmodel.fluid.mount import Mount
from kubectl_fluidmodel.model.sizing import GIB, MIB, HeapSizes, Medium
from tests.cluster.cluster import Cluster

HEAPS = HeapSizes(GIB, 2 * GIB, 3 * GIB, 4 * GIB, 5 * GIB)


def runtime() -> dict[str, Any]:
    """As `cache` writes it."""
    return build_runtime(
        "m", "ns", Mount({}), replicas=1, medium=Medium("MEM", "/dev/shm", ""), quota=7 * GIB,
        heaps=HEAPS,
    )  # fmt: skip


def fuse_options(changed: dict[str, Any]) -> list[str]:
    program, options = changed["spec"]["fuse"]["args"]
    assert program == "fuse"
    return str(options).removeprefix("--fuse-opts=").split(",")


def test_what_cache_writes_is_measured_as_it_is_but_for_its_requests() -> None:
    expected = runtime()
    for component in ("master", "worker"):
        del expected["spec"][component]["resources"]
    assert changed_runtime(runtime(), CACHE) == expected


def test_a_property_replaces_what_cache_writes() -> None:
    variant = parse_variant("alluxio.user.block.size.bytes.default=64MB,medium=SSD")
    changed = changed_runtime(runtime(), variant)
    assert changed["spec"]["properties"]["alluxio.user.block.size.bytes.default"] == "64MB"
    assert variant.medium == "SSD" and CACHE.medium == "MEM"
    assert runtime()["spec"]["properties"]["alluxio.user.block.size.bytes.default"] == "128MB"


def test_options_of_the_mount_are_added_to_those_that_are_there_and_taken_away() -> None:
    before = fuse_options(changed_runtime(runtime(), parse_variant("fuse=+ro")))
    added = fuse_options(changed_runtime(runtime(), parse_variant("fuse=+max_background=1")))
    assert added[-1] == "max_background=1" and set(before) == set(added[:-1])
    without = fuse_options(changed_runtime(runtime(), parse_variant("fuse=-kernel_cache")))
    assert set(before) - set(without) == {"kernel_cache"}


def test_two_options_of_the_mount_are_both_changed() -> None:
    changed = changed_runtime(runtime(), parse_variant("fuse=+max_read=65536,fuse=+max_read=4096"))
    assert [option for option in fuse_options(changed) if "max_read" in option] == ["max_read=4096"]


def test_an_option_of_the_java_machine_is_added() -> None:
    changed = changed_runtime(runtime(), parse_variant("jvm=+-XX:+UseParallelGC"))
    assert changed["spec"]["fuse"]["jvmOptions"][-1] == "-XX:+UseParallelGC"


def test_worker_and_client_share_the_folder_of_a_domain_socket() -> None:
    spec = changed_runtime(runtime(), parse_variant("socket=/run/alluxio"))["spec"]
    [volume] = spec["volumes"]
    assert volume["hostPath"]["path"] == "/run/alluxio"
    mount = {"name": volume["name"], "mountPath": "/run/alluxio"}
    assert spec["worker"]["volumeMounts"] == spec["fuse"]["volumeMounts"] == [mount]
    properties = spec["properties"]
    assert properties["alluxio.worker.data.server.domain.socket.address"] == "/run/alluxio"
    assert properties["alluxio.user.short.circuit.preferred"] == "false"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("medium", "'medium' is not KEY=VALUE"),
        ("medium=", "'medium=' is not KEY=VALUE"),
        ("medium=TAPE", "'TAPE' is no medium"),
        (
            "block=64MB",
            "'block' is none of medium, fuse, jvm, readahead, socket and Alluxio's properties",
        ),
        ("fuse=sync_read", "'sync_read' begins with neither + nor -"),
        ("readahead=1Mi", "'1Mi' is no number of KiB"),
        ("socket=run", "'run' is no folder of the node"),
        ("medium=MEM,jvm=x", "'x' begins with neither + nor -"),
    ],
)
def test_what_is_no_change_is_told(text: str, reason: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{re.escape(reason)}$"):
        parse_variant(text)


@pytest.mark.parametrize("program", [bench_settings, bench_writeup])
def test_a_change_that_is_none_ends_a_bench_before_it_starts(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--set", "medium"])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("error: argument --set: 'medium' is not KEY=VALUE")


def test_the_write_ups_objects_stay_as_they_are_but_for_what_has_to_fit() -> None:
    seed = {obj["kind"]: obj for obj in yaml.safe_load_all(SEED_FILE.read_text())}
    objects = seed_objects(seed, "c0", "ns", runtime())
    assert objects["Dataset"]["spec"] == {**seed["Dataset"]["spec"], "placement": "Shared"}
    spec, before = objects["AlluxioRuntime"]["spec"], seed["AlluxioRuntime"]["spec"]
    assert spec["properties"] == before["properties"]
    [level], [was] = spec["tieredstore"]["levels"], before["tieredstore"]["levels"]
    assert level == {**was, "quota": "7Gi"}
    assert spec["worker"] == {"jvmOptions": ["-Xmx2g", "-XX:MaxDirectMemorySize=3g"]}
    assert set(spec) == {*before, "master", "worker", "fuse"}
    assert {obj["metadata"]["name"] for obj in objects.values()} == {"c0"}


def test_the_write_ups_table_has_no_change_of_the_medium(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        bench_writeup.main(["--set", "alluxio.x=1,medium=SSD"])
    assert "medium and readahead are for bench.settings" in capsys.readouterr().err


def measured() -> Measured:
    """Two rounds."""
    measurements = Measured()
    for variant, case, rates in (
        ("seed", figures.LOAD, (50, 60)),
        ("cache", figures.LOAD, (100, 300)),
        ("seed", figures.WARM, (100, 100)),
        ("cache", figures.PAGES, (390, 450)),
        ("", figures.STORE, (400, 500)),
    ):
        for rate in rates:
            measurements.add(variant, case, rate * 1e6)
    return measurements


def cells(table: str) -> list[list[str]]:
    lines = table.splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_rates_stand_beside_each_other_with_their_ratios_by_rounds() -> None:
    table = cells(rates_table(measured(), ["seed", "cache"]))
    assert table[0] == ["MB/s, median (range)", "`seed`", "`cache`", "/ seed"]
    assert table[2] == ["DataLoad", "55 (50 to 60)", "200 (100 to 300)", "3.50 (2.00 to 5.00)"]
    assert table[4] == ["preheated, memory map", "", "420 (390 to 450)", ""]
    assert table[5] == ["store", "450 (400 to 500)", "", ""]


def test_targets_are_met_by_the_median_of_the_rounds_and_what_was_not_measured_is_left_out() -> (
    None
):
    table = cells(targets_table(measured()))[2:]
    assert table == [
        ["preload / the write-up's", "3.50 (2.00 to 5.00)", "4", "**missed**"],
        [
            "preload / one client that reads the store",
            "0.42 (0.25 to 0.60)",
            "0.6",
            "**missed**",
        ],
        ["preheated / the write-up's warm read", "4.20 (3.90 to 4.50)", "4", "met"],
    ]


def test_the_time_of_a_load_is_the_last_that_its_script_took() -> None:
    log = "real\t0m3.500s\nuser\t0m1.0s\n/a is loaded\n\nreal\t1m2.250s\nuser\t0m5.0s\n"
    assert load_seconds(log) == 62.25
    with pytest.raises(ValueError, match="no time"):
        load_seconds("nothing")


def test_a_variant_without_changes_is_what_cache_writes() -> None:
    assert Variant("x").changes == () and not CACHE.is_seed


def load(*arguments: str) -> dict[str, Any]:
    """Run the loader as a pod does."""
    argv = [sys.executable, loader.__file__, *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_threads_read_every_file_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_model(folder, 4 * 70 * MIB)
    result = load(str(folder), "--threads", "4")
    assert result["bytes"] == sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert result["load"] > 0


def test_objects_are_read_from_their_store(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.write_bytes(bytes(3 * MIB + 1))
    assert load("--store", path.as_uri(), path.as_uri())["bytes"] == 2 * (3 * MIB + 1)


def test_the_cost_of_loads_is_their_median() -> None:
    loads = [
        figures.Load(1e6, 20.0, 7.0),
        figures.Load(2e6, 30.0, 11.0),
        figures.Load(1e6, 22.0, 8.0),
    ]
    assert figures.loads_text("seed", loads) == (
        "DataLoads of seed: 8.0 CPU s/GiB, 22 s besides the loading"
    )


class FakeCaches:
    """Caches that are loaded and freed at once; what was done with them is noted."""

    variants, rounds = (CACHE,), 3

    def __init__(self) -> None:
        self.done: list[str] = []

    def load(self, variant: Variant) -> Load:
        self.done.append(f"load {variant.name}")
        return Load(rate=1e8, seconds_besides=5, cpu_per_gib=4)

    def load_all(self) -> None:
        self.done.append("load all")

    def free(self, variant: Variant, path: str) -> None:
        self.done.append(f"free {path}")

    def read(self, variant: Variant, *words: str, folder: str = "") -> Read:
        self.done.append(f"read {folder}")
        return Read(rate=5e7, client_cpu=8, worker_cpu=13.6)

    def read_store(self, connections: int) -> float:
        return 1e9

    def read_local(self, *words: str) -> float:
        return 1e9

    def up(self) -> None: ...

    start_pods = close = up


def test_each_load_starts_empty_and_the_last_one_stays_but_for_the_cold_files() -> None:
    caches, measured, loads = FakeCaches(), Measured(), dict[str, list[Load]]()
    load_rounds(cast(Caches, caches), 1, measured, loads)
    assert caches.done == [
        "load cache", "free /", "load cache", "free /", "load cache", f"free /{COLD_FOLDER}"
    ]  # fmt: skip
    assert len(measured.of("cache", figures.LOAD)) == len(loads["cache"]) == 2


def test_what_is_read_cold_only_is_not_loaded_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    caches = FakeCaches()
    monkeypatch.setattr(bench_settings, "Caches", lambda *_: caches)
    options = argparse.Namespace(only=["cold"], warm_up=1, rounds=2)
    bench_settings.measure(options, [CACHE], cast(Cluster, None), GIB)
    assert caches.done == [f"read {COLD_FOLDER}/{number}" for number in range(6)]
    assert "CPU s/GiB" in capsys.readouterr().out


def test_the_cpu_time_of_reads_is_told_apart_by_process_as_medians() -> None:
    measurements = Measured()
    for client, worker in ((4.0, 1.0), (6.0, 2.0), (9.0, 30.0)):
        measurements.add_read("cache", figures.COLD, Read(5e7, client, worker))
    measurements.add("cache", figures.LOAD, 1e8)
    table = cells(costs_table(measurements, ["cache", "other"]))
    assert table[0] == ["CPU s/GiB of FUSE client + worker", "`cache`", "`other`"]
    assert table[2:] == [[figures.COLD, "6.0 + 2.0", ""]]
    assert measurements.of("cache", figures.COLD) == [5e7] * 3


def test_without_a_read_there_is_no_table_of_costs() -> None:
    assert costs_table(measured(), ["seed", "cache"]) == ""
