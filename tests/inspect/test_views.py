"""What `inspect` shows, as golden files at 80, 120 and 200 columns: to be read in a review.

`GOLDEN=write pytest …` writes them anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.names import PREHEATED_ANNOTATION, READ_RATES_ANNOTATION
from kubectl_fluidmodel.inspect import details_view, table_view, tree_view, wide_table_view
from kubectl_fluidmodel.inspect.details import (
    CacheDetails,
    DoctorWarning,
    HubStatus,
    LiveDetails,
    describe_caches,
)
from kubectl_fluidmodel.inspect.view import InspectOptions, ViewContext, load_view
from kubectl_fluidmodel.inventory.cache import build_caches
from kubectl_fluidmodel.inventory.preheat_record import PreheatRecord, format_records
from kubectl_fluidmodel.inventory.read_rates import ReadRates
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.output import tree as trees
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.inventory import fleet, samples
from tests.inventory.test_cache import odd_snapshots

DIRECTORY = Path(__file__).parents[1] / "fixtures" / "inspect"
WIDTHS = (80, 120, 200)
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def golden(name: str, text: str) -> None:
    file = DIRECTORY / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()


def context(options: InspectOptions, width: int | None = None) -> ViewContext:
    snapshot = samples.snapshot(*fleet.mixed_states())
    return ViewContext(snapshot, build_caches(snapshot), options, None, width=width)


def fits(text: str, width: int) -> None:
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table(width: int) -> None:
    text = table_view.render_table(
        describe_caches(samples.snapshot(*fleet.mixed_states())), width=width
    )
    fits(text, width)
    golden(f"table-{width}", text)


def test_the_table_in_a_pipe_leaves_nothing_out() -> None:
    caches = describe_caches(samples.snapshot(*fleet.mixed_states()))
    golden("table-piped", wide_table_view.render_wide_table(caches, namespaces=True))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", [1, 200])
def test_one_and_many(width: int, count: int) -> None:
    text = table_view.render_table(describe_caches(fleet.many_caches(count)), width=width)
    fits(text, width)
    lines = text.splitlines()
    assert len(lines) == count + 1
    assert all("1/2" in line for line in lines[1:])


def long_named(name: str, namespace: str) -> list[CacheDetails]:
    made = (
        samples.dataset(name, namespace),
        samples.runtime("AlluxioRuntime", name, namespace),
    )
    return describe_caches(samples.snapshot(*made))


NAMES = ("llama-3-3-70b-instruct-fp8-dynamic", "m" * 45)
SPACES = ("default", "team-inference")


@pytest.mark.parametrize("namespace", SPACES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("namespaces", [True, False])
def test_the_name_that_the_next_command_needs_is_cut_last(
    name: str, namespace: str, namespaces: bool
) -> None:
    caches = long_named(name, namespace)
    text = table_view.render_table(caches, namespaces=namespaces, width=80)
    fits(text, 80)
    assert name in text and (namespace in text or not namespaces), text


def test_names_are_cut_where_nothing_else_is_left() -> None:
    caches = long_named("m" * 45, "n" * 63)
    text = table_view.render_table(caches, namespaces=True, width=80)
    fits(text, 80)
    assert "nnn…" in text and "NODES" not in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_all_requested_columns_are_printed_untruncated(width: int) -> None:
    options = InspectOptions(output="wide", all_namespaces=True)
    on_terminal, in_pipe = (
        load_view(options).render(context(options, width_or_none))
        for width_or_none in (width, None)
    )
    assert on_terminal == in_pipe and not on_terminal.left_out
    assert "…" not in on_terminal.text


def test_none_is_no_table() -> None:
    assert table_view.render_table([], header=False) == ""


def llama(objects: list[Object] | None = None) -> CacheDetails:
    snapshot = fleet.with_files(*(fleet.llama() if objects is None else objects))
    key = ("default", fleet.LLAMA)
    cause = "2 of 3 pods of graph chat run on nodes that do not hold the cache"
    fix = f"kubectl fluidmodel pin {fleet.LLAMA} chat"
    warning = DoctorWarning("FM701", "warning", "title", "graph chat", cause, fix, "command")
    return describe_caches(
        snapshot, warnings={key: [warning]}, live=LiveDetails(hub={key: HubStatus("f" * 40)})
    )[0]


def test_measured_rates_estimate_the_loading_time() -> None:
    rates = ReadRates("2026-11-29T08:00:00Z", "gpu-0", 1 << 30, {1: 1 << 30, 4: 4 << 30})
    annotations = {READ_RATES_ANNOTATION: rates.to_annotation()}
    (cache,) = describe_caches(samples.snapshot(*samples.cache(annotations=annotations)))
    text = details_view.render_details(cache, width=80)
    expected = "measured on gpu-0: the model loads in 10s, with 4 threads in 2s"
    assert expected in " ".join(text.split()), text
    unmeasured = describe_caches(samples.snapshot(*samples.cache()))[0]
    assert "measured on" not in details_view.render_details(unmeasured, width=80)


def test_the_page_cache_of_a_node_is_shown_where_it_was_measured() -> None:
    record = PreheatRecord("abc", "", 100, 5.0, 98, "2026-03-02T08:13:20Z")
    annotations = {PREHEATED_ANNOTATION: format_records({"gpu-0": record})}
    (cache,) = describe_caches(samples.snapshot(*samples.cache(annotations=annotations)))
    text = details_view.render_details(cache)
    assert "PAGE CACHE" in text and "98% 3h ago" in text, text
    unmeasured = describe_caches(samples.snapshot(*samples.cache()))[0]
    assert "PAGE CACHE" not in details_view.render_details(unmeasured)
    gone = PreheatRecord("abc", "pod/0", 100, 5.0, 98, "2026-03-02T08:13:20Z")
    annotations = {PREHEATED_ANNOTATION: format_records({"gpu-0": gone})}
    (cache,) = describe_caches(samples.snapshot(*samples.cache(annotations=annotations)))
    assert "lost" in details_view.render_details(cache)


@pytest.mark.parametrize("width", WIDTHS)
def test_one_cache_in_depth(width: int) -> None:
    text = details_view.render_details(llama(), width=width)
    long = [line for line in text.splitlines() if len(line) > width]
    assert all(" " not in line.strip().partition("  ")[2].strip() for line in long), (
        "only addresses"
    )
    golden(f"one-{width}", text)


def test_the_estimate_has_money_where_a_price_is_given() -> None:
    (details,) = describe_caches(samples.snapshot(*samples.cache()))
    assert "price" not in details_view.render_details(details).partition("Estimate")[2]
    shown = details_view.render_details(details, price_per_gib=0.1).partition("Estimate")[2]
    assert "1.00 once; 1.00 for each start that downloads" in shown


def test_the_creator_of_a_cache_is_shown() -> None:
    ours = names.managed_labels("demo")
    for labels, text in (
        ({}, "old\n"),
        (ours, "old, made by this plugin"),
        ({**ours, names.ADOPTED_LABEL: "true"}, "old, made by hand and adopted"),
    ):
        (details,) = describe_caches(samples.snapshot(*samples.cache(labels=labels)))
        assert text in details_view.render_details(details)
        assert (details.is_managed, details.is_adopted) == (bool(labels), "adopted" in text)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_tree(width: int) -> None:
    text = trees.format_tree(
        tree_view.cache_trees(describe_caches(samples.snapshot(*fleet.mixed_states()))), width=width
    )
    fits(text, width)
    golden(f"tree-{width}", text)


def test_colour_adds_nothing_but_colour() -> None:
    caches = describe_caches(samples.snapshot(*fleet.mixed_states()))
    for width in (None, *WIDTHS):
        for colored, plain in (
            [table_view.render_table(caches, width=width, color=on) for on in (True, False)],
            [details_view.render_details(llama(), width=width, color=on) for on in (True, False)],
            [
                trees.format_tree(tree_view.cache_trees(caches), width=width, color=on)
                for on in (True, False)
            ],
        ):
            assert STYLE.sub("", colored) == plain
            assert STYLE.search(colored)


def test_no_text_of_a_server_drives_the_terminal() -> None:
    evil = "\x1b[2Jgone\r\nnow\x07"
    objects = samples.cache(source=f"s3://{evil}", states={"cacheHitRatio": evil})
    objects += [samples.reader(evil, evil)]
    objects[0]["status"]["conditions"][0]["message"] = evil
    caches = describe_caches(samples.snapshot(*objects), live=LiveDetails(files_reason=evil))
    for text in (
        wide_table_view.render_wide_table(caches),
        details_view.render_details(caches[0]),
        trees.format_tree(tree_view.cache_trees(caches)),
    ):
        assert "\x1b" not in text and "\r" not in text and "\x07" not in text
    assert len(table_view.render_table(caches).splitlines()) == 2


@settings(max_examples=60, deadline=None)
@given(odd_snapshots())
def test_nothing_odd_breaks_a_view(snapshot: Snapshot) -> None:
    caches = describe_caches(snapshot)
    for width in (None, 80):
        wide_table_view.render_wide_table(caches, namespaces=True)
        trees.format_tree(tree_view.cache_trees(caches), width=width)
        for one in caches:
            details_view.render_details(one, width=width)


def test_a_reference_is_shown_with_its_sources_nodes_and_no_estimate() -> None:
    """It loads nothing; the label of its own that its claim has is on no node."""
    labels = {"fluid.io/s-team-a-mine": "true"}
    objects = [
        *samples.cache("llama", "models", nodes=["gpu-1"]),
        samples.dataset("mine", "team-a", source="dataset://models/llama"),
        samples.runtime("ThinRuntime", "mine", "team-a"),
        samples.make_object("PersistentVolumeClaim", "mine", "team-a", labels=labels),
    ]
    described = describe_caches(samples.snapshot(*objects, namespace=None))
    details = next(details for details in described if details.name == "mine")
    text = details_view.render_details(details, width=80)
    golden("reference-80", text)
    fits(text, 80)
    assert details.estimate is None and "dataset://models/llama" in text


def test_settings_for_high_concurrency_are_shown_only_where_they_are_on() -> None:
    record = PreheatRecord("abc", "", 100, 5.0, 98, "2026-03-02T08:13:20Z")
    annotations = {PREHEATED_ANNOTATION: format_records({"gpu-0": record})}
    objects = samples.cache(annotations=annotations)
    (plain,) = describe_caches(samples.snapshot(*objects))
    assert "high-concurrency" not in details_view.render_details(plain)
    (cache,) = describe_caches(samples.snapshot(*samples.high_concurrency(objects)))
    text = details_view.render_details(cache, width=80)
    golden("high-concurrency-80", text)
    fits(text, 80)
    assert "--high-concurrency" in text and "PAGE CACHE" not in text


def test_a_reference_is_read_through_the_client_of_its_source() -> None:
    objects = [
        *samples.high_concurrency(samples.cache("llama", "models")),
        samples.dataset("mine", "team-a", source="dataset://models/llama"),
        samples.runtime("ThinRuntime", "mine", "team-a"),
    ]
    described = describe_caches(samples.snapshot(*objects, namespace=None))
    assert {details.name: details.high_concurrency for details in described} == {
        "llama": True,
        "mine": True,
    }
