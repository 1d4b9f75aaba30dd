"""S3's limits hold for every size, and shares divide every plan."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.stage import parts

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
sizes = st.integers(min_value=0, max_value=48 * TIB)


@given(sizes, st.integers(min_value=MIB, max_value=4 * GIB))
def test_parts_keep_s3s_limits(size: int, room: int) -> None:
    part = parts.choose_part_size(size, room)
    assert parts.MIN_PART <= part <= parts.MAX_PART
    assert parts.part_count(size, part) <= parts.MAX_PARTS
    assert part % 64 == 0
    assert part <= parts.DEFAULT_PART or parts.part_count(size, part) > parts.MAX_PARTS // 2


@given(st.integers(min_value=0, max_value=GIB), st.integers(5 * MIB, 64 * MIB))
def test_byte_ranges_cover_the_file_once(size: int, part: int) -> None:
    ends = [parts.byte_range(number, size, part) for number in range(parts.part_count(size, part))]
    assert ends[0][0] == 0 and ends[-1][1] == size
    assert all(here[1] == after[0] for here, after in itertools.pairwise(ends))


def test_a_file_of_a_terabyte_fits_into_ten_thousand_parts() -> None:
    part = parts.choose_part_size(10**12, 150 * MIB)
    assert parts.part_count(10**12, part) <= 10_000 and part < 150 * MIB


def test_little_memory_makes_smaller_parts() -> None:
    assert parts.choose_part_size(GIB, 256 * MIB) == 16 * MIB
    assert parts.choose_part_size(GIB, 64 * MIB) == 8 * MIB
    assert parts.choose_part_size(GIB, 10 * MIB) == 5 * MIB


@given(st.lists(st.integers(0, 10 * GIB), min_size=1, max_size=40), st.integers(1, 8))
def test_shards_are_disjoint_complete_and_balanced(sizes: list[int], shards: int) -> None:
    files = [PlanFile(f"f{n}", size, "git", "0" * 40) for n, size in enumerate(sizes)]
    shares = parts.assign_shards(files, shards)
    assert sorted(file for share in shares for file in share.files) == sorted(files)
    loads = [share.bytes for share in shares]
    assert max(loads) - min(loads) <= max(sizes)
    assert parts.assign_shards(list(reversed(files)), shards) == shares
