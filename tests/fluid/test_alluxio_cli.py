"""What an Alluxio 2.9 master prints of its files and workers, read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.fluid.alluxio_cli import (
    HEARTBEAT_TIMEOUT,
    AlluxioFile,
    parse_capacity_report,
    parse_listing,
    parse_live_workers,
)

GIB = 1 << 30

# alluxio fs ls -R / of Alluxio 2.9, with its permissions and without them
LISTED = """\
drwxr-xr-x  root           root                         2       PERSISTED 03-02-2026 10:15:30:101  DIR /original
-rw-r--r--  root           root                       200       PERSISTED 03-02-2026 10:15:30:101 100% /original/params.json
-rw-r--r--  root           root                4976698672       PERSISTED 03-02-2026 10:15:30:101  57% /model-00001-of-00002.safetensors
----------                                            826       PERSISTED 03-02-2026 10:15:30:101 100% /config.json
            0   NOT_PERSISTED 03-02-2026 10:15:30:101 100% /with space.txt
"""  # noqa: E501


def test_the_files_of_a_listing() -> None:
    assert parse_listing(LISTED) == [
        AlluxioFile("original/params.json", 200, 100),
        AlluxioFile("model-00001-of-00002.safetensors", 4976698672, 57),
        AlluxioFile("config.json", 826, 100),
        AlluxioFile("with space.txt", 0, 100),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "ls: Path /nope does not exist",
        "2026-03-02 10:15:30,101 WARN  Config - deprecated",
    ],
)
def test_a_listing_without_files(text: str) -> None:
    assert parse_listing(text) == []


REPORT = """\
Capacity information for all workers:
    Total Capacity: 282.00GB
        Tier: SSD  Size: 282.00GB
    Used Capacity: 197.13GB
        Tier: SSD  Size: 197.13GB
    Used Percentage: 69%
    Free Percentage: 31%

Worker Name      Last Heartbeat   Storage       Total            SSD
10.0.0.7         0                capacity      141.00GB         141.00GB
                                  used          131.42GB (93%)   131.42GB
gpu-2.example    12               capacity      141.00GB         141.00GB
                                  used          65.71GB (46%)    65.71GB
"""


def test_the_workers_of_a_report() -> None:
    assert parse_live_workers(REPORT) == [
        ("10.0.0.7", round(131.42 * GIB), GIB // 100),
        ("gpu-2.example", round(65.71 * GIB), GIB // 100),
    ]


def test_a_worker_without_cached_blocks() -> None:
    text = "10.0.0.7  0  capacity  141.00GB  141.00GB\n          used      0B (0%)   0B\n"
    assert parse_live_workers(text) == [("10.0.0.7", 0, 1)]


def row(name: str, *state: str, beat: int) -> str:
    """A worker's two lines, as 2.9.3 (and with a state, 2.9.4) aligns them."""
    cells = [name, *state, str(beat), "capacity", "2048.00MB", "2.9.4", "9eae6eff"]
    return "   ".join(cells) + "\n" + " " * 40 + "used   384.26MB (18%)\n"


@pytest.mark.parametrize(
    ("text", "live"),
    [
        (row("10.0.0.7", beat=0), True),
        (row("10.0.0.7", beat=HEARTBEAT_TIMEOUT), True),
        (row("10.0.0.7", beat=HEARTBEAT_TIMEOUT + 1), False),
        (row("10.0.0.7", beat=35), False),
        (row("10.0.0.7", "ACTIVE", beat=0), True),
        (row("10.0.0.7", "LOST", beat=0), False),
        (row("10.0.0.7", "Decommissioned", beat=0), False),
        (row("10.0.0.7", "Disabled", beat=1), False),
        (row("10.0.0.7", "ACTIVE", beat=299), False),
    ],
)
def test_a_worker_that_is_lost_is_listed_and_does_not_count(text: str, live: bool) -> None:
    (worker,) = parse_capacity_report(text)
    assert (worker.name, worker.is_live) == ("10.0.0.7", live)
    assert worker.used_bytes == round(384.26 * (1 << 20))
    assert bool(parse_live_workers(text)) is live


def test_one_of_two_workers_is_lost() -> None:
    text = row("10.0.0.7", beat=0) + row("10.0.0.8", beat=35)
    assert [name for name, _, _ in parse_live_workers(text)] == ["10.0.0.7"]
    assert [worker.name for worker in parse_capacity_report(text)] == ["10.0.0.7", "10.0.0.8"]


@given(st.text(alphabet="0123456789 \n%()/.GBMicapacityusedPERSISTED-:"))
def test_no_output_makes_the_parsers_fail(text: str) -> None:
    assert all(entry.size >= 0 for entry in parse_listing(text))
    assert all(used >= 0 for _, used, _ in parse_live_workers(text))
