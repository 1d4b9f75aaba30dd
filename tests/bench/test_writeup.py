"""The pure parts of `python -m bench.writeup`: rates of links, the table, the chart, the model."""

from __future__ import annotations

import json
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.plane.model import safetensors_pieces
from bench.writeup.chart import svg_chart
from bench.writeup.figures import (
    BESIDE,
    ELSEWHERE,
    HUB,
    WHOLE,
    Load,
    Row,
    link_rates,
    markdown_table,
    preheating_text,
    problems,
    rows_of,
)

GIB = 1 << 30


def load(seconds: float, wire: int = 0, download: float = 0) -> Load:
    return Load(GIB, download, seconds - download, wire)


MEASURED = {
    "hub": [load(60, GIB, download=50), load(58, GIB), load(70, GIB)],
    "elsewhere": [load(200, 15 * GIB)],
    "beside": [load(110, 7 * GIB)],
    "whole": [load(10), load(12), load(9)],
}


def medians(**seconds: float) -> list[Row]:
    return [Row(case, (seconds[case.key],)) for case in (HUB, ELSEWHERE, BESIDE, WHOLE)]


def test_the_hub_and_the_nodes_are_to_a_local_load_as_in_the_write_up() -> None:
    rates = link_rates(1760e6, 10)
    # 141 GB in 460 s, and ten times 141 GB in 1080 s.
    assert rates.hub == pytest.approx(306e6, rel=0.01)
    assert rates.node == pytest.approx(1304e6, rel=0.01)
    assert link_rates(176e6, 10).hub == pytest.approx(30.6e6, rel=0.01)


def test_the_rows_stand_in_the_write_ups_order_with_their_medians() -> None:
    table = markdown_table(rows_of(MEASURED)).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells[2] == [HUB.text, "9 min", "6.8", "60.0 s (58.0 to 70.0)", "6.0", "1.0"]
    assert [row[0] for row in cells[3:]] == [ELSEWHERE.text, BESIDE.text, WHOLE.text]
    assert cells[5][1:] == ["80 s", "1.0", "10.0 s (9.0 to 12.0)", "1.0", "0.0"]


def test_nothing_is_wrong_if_the_order_and_the_share_come_out() -> None:
    assert problems(rows_of(MEASURED)) == []  # in one round of three, 12 s are more than a fifth


def test_another_order_is_told_with_both() -> None:
    [problem] = problems(medians(hub=60, elsewhere=100, beside=110, whole=10))
    assert problem == (
        "the order is whole < hub < elsewhere < beside instead of whole < hub < beside < elsewhere"
    )


def test_a_last_row_above_a_fifth_of_the_first_is_told() -> None:
    [problem] = problems(medians(hub=60, elsewhere=100, beside=80, whole=13))
    assert problem == "whole takes 0.22 of hub, more than 0.20"


def test_preheating_is_compared_round_by_round() -> None:
    hot, cold, disk = [load(2), load(4), load(3)], [load(10), load(16), load(30)], [load(2)] * 3
    assert preheating_text(hot, cold, disk) == (
        "whole on one node and preheated: 3.0 s (2.0 to 4.0), 5.0 times as fast as without, and "
        "0.67 times as fast as files in a local disk's page cache"
    )


def test_the_chart_is_svg_with_two_bars_for_each_row_readable_in_light_and_dark() -> None:
    drawn = svg_chart(rows_of(MEASURED), "1 GiB & more")
    tree = ET.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    bars = [bar for bar in tree.iter(f"{space}rect") if bar.get("height") == "16"]
    widths = [float(bar.get("width", "0")) for bar in bars]
    assert len(bars) == 8
    # Both series are multiples of the last row: 1,080 s of 80 s, and 200 s of 10 s.
    assert widths[2] / widths[6] == pytest.approx(13.5, rel=0.01)
    assert widths[3] / widths[7] == pytest.approx(20, rel=0.01)
    right = float(tree.get("viewBox", "").split()[2])
    assert max(float(e.get("x", "0")) + w for e, w in zip(bars, widths, strict=True)) < right
    assert "prefers-color-scheme: dark" in drawn
    assert "1 GiB & more" in [text.text for text in tree.iter(f"{space}text")]


def test_the_model_is_safetensors_of_that_size(tmp_path: Path) -> None:
    size = 96 << 20
    path = tmp_path / "model.safetensors"
    with path.open("wb") as out:
        for piece in safetensors_pieces(size, "layers.0"):
            out.write(piece)
    with path.open("rb") as stored:
        (length,) = struct.unpack("<Q", stored.read(8))
        header = json.loads(stored.read(length))
    assert len(header) == 3
    ends = [entry["data_offsets"][1] for entry in header.values()]
    assert max(ends) == size and path.stat().st_size == 8 + length + size
