"""What an Alluxio 2.9 master prints of its files and workers, read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.fluid.master import Cached, parse_listing, parse_workers

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
        Cached("original/params.json", 200, 100),
        Cached("model-00001-of-00002.safetensors", 4976698672, 57),
        Cached("config.json", 826, 100),
        Cached("with space.txt", 0, 100),
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
    assert parse_workers(REPORT) == [
        ("10.0.0.7", round(131.42 * GIB), GIB // 100),
        ("gpu-2.example", round(65.71 * GIB), GIB // 100),
    ]


def test_a_worker_that_holds_nothing() -> None:
    text = "10.0.0.7  0  capacity  141.00GB  141.00GB\n          used      0B (0%)   0B\n"
    assert parse_workers(text) == [("10.0.0.7", 0, 1)]


@given(st.text(alphabet="0123456789 \n%()/.GBMicapacityusedPERSISTED-:"))
def test_no_output_makes_the_parsers_fail(text: str) -> None:
    assert all(entry.size >= 0 for entry in parse_listing(text))
    assert all(used >= 0 for _, used, _ in parse_workers(text))
