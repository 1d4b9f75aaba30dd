"""Random faults of the Hub and the store, mixed.

A run ends in time, an object with a final name is the complete file, and the next run finishes.
A few examples each time, the same ones; `make fuzz` draws others.
"""

from __future__ import annotations

import faulthandler
import itertools
import os
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.stage.engine import stage_plan
from kubectl_fluidmodel.stage.events import Completed
from kubectl_fluidmodel.stage.options import TransferOptions
from tests.hub import FakeHub
from tests.stage.faultproxy import FaultProxy
from tests.stage.harness import MIB, PART, StagingHarness, random_bytes
from tests.stage.s3server import S3Server

FILES = {
    "config.json": b'{"model_type": "tiny"}',
    "model-00001.safetensors": random_bytes(3 * PART + 4711),
    "model-00002.safetensors": random_bytes(MIB, 2),
}
IN_TIME = 150.0
"""Seconds for a run on however busy a machine; its own waits add up to a tenth of that."""
_numbers = itertools.count()

often = st.sampled_from([1, 1, 2, 3, 7, None])
aims = {"times": often, "skip": st.integers(0, 6)}
paths = st.sampled_from(["resolve|blobs", "blobs", "blobs.*00001", "00002", "config"])
passing = st.sampled_from([408, 425, 429, 500, 502, 503, 520, 524, 530])
pauses = st.sampled_from(
    [{}, {}, {"Retry-After": "0"}, {"Retry-After": "1"}, {"RateLimit": '"api";r=0;t=1'}]
)


def hub_fault(kind: str, **settings: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"kind": st.just(kind), "match": paths, **aims, **settings})


hub_faults = st.one_of(
    hub_fault("status", status=passing, headers=pauses),
    hub_fault("status", status=st.sampled_from([400, 401, 403, 404, 410, 451]), on=st.just("cdn")),
    hub_fault("drop", after=st.integers(0, 6 * MIB)),
    hub_fault("stall", after=st.integers(0, 6 * MIB), seconds=st.just(300.0)),
    hub_fault("short", count=st.integers(1, 5000)),
    hub_fault("long", count=st.integers(1, 5000)),
    hub_fault("wrong", after=st.integers(0, 3 * PART)),
    hub_fault("norange"),
    hub_fault("nolength"),
)


def store_fault(kind: str, **settings: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    where = st.sampled_from(
        [
            ("PUT", "partNumber=[13]"),
            ("PUT", "config|00002"),
            ("PUT", r"\.fluidmodel"),
            ("POST", "uploads"),
            ("POST", "uploadId="),
            ("GET", "uploadId="),
            ("GET", "list-type"),
            ("HEAD", "safetensors"),
            ("DELETE", ""),
            ("", ""),
        ]
    )
    return st.fixed_dictionaries({"kind": st.just(kind), "where": where, **aims, **settings})


refusals = st.sampled_from(
    [
        (403, "AccessDenied"),
        (404, "NoSuchUpload"),
        (400, "ExpiredToken"),
        (400, "InvalidPart"),
        (409, "OperationAborted"),
        (501, "NotImplemented"),
        (503, "SlowDown"),
        (507, "InsufficientStorage"),
    ]
)
store_faults = st.one_of(
    store_fault("refuse", status=passing, html=st.booleans(), headers=pauses),
    store_fault("refuse", refusal=refusals),
    store_fault("reset"),
    store_fault("lose"),
    store_fault("spoil"),
    store_fault("stall", seconds=st.just(300.0)),
    store_fault("hide"),
    store_fault("etags"),
)


def switch_on(harness: StagingHarness, proxy: FaultProxy, hub: Any, store: Any) -> None:
    for fault in hub:
        note(f"hub: {fault}")
        harness.hub.add_fault(**fault)
    for fault in store:
        note(f"store: {fault}")
        how = dict(fault)
        method, match = how.pop("where")
        status, code = how.pop("refusal", (None, ""))
        if status:
            how |= {"status": status, "code": code}
        proxy.add_fault(how.pop("kind"), method, match, **how)


def in_time(
    harness: StagingHarness, options: TransferOptions, stop_after: int | None = None
) -> Completed | None:
    """One run to its end, or until it is left in the middle; None where it failed."""
    ended: list[Completed] = []
    crashed: list[BaseException] = []
    notes: list[str] = []

    def run() -> None:
        try:
            # A plan of a Hub that fails says so; that it ends in time is seen here, too.
            plan = harness.plan()
            store = harness.s3.store(harness.endpoint)
            events = stage_plan(plan, store, harness.destination, options, harness.client())
            for number, event in enumerate(events):
                if isinstance(event, Completed):
                    ended.append(event)
                if number == stop_after:
                    return
        except FluidModelError as err:
            notes.append(str(err))
        except BaseException as err:
            crashed.append(err)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(IN_TIME)
    if thread.is_alive():
        faulthandler.dump_traceback(file=sys.__stderr__)
        raise AssertionError("it does not end")
    for line in notes:
        note(f"said: {line}")
    if crashed:
        raise crashed[0]
    return ended[0] if ended else None


def assert_nothing_is_wrong(harness: StagingHarness) -> None:
    client = harness.s3.client()
    with suppress(client.exceptions.NoSuchBucket):
        for key in harness.objects(f"{harness.layout.files_prefix}/"):
            name = key.removeprefix(f"{harness.layout.files_prefix}/")
            assert harness.get(key) == FILES[name], name


@settings(
    max_examples=max(1, settings().max_examples // 12),
    # An example takes seconds: the notes of the one that fails tell more than a smaller one.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(
    st.lists(hub_faults, max_size=3),
    st.lists(store_faults, max_size=3),
    st.integers(1, 6),
    st.none() | st.integers(0, 30),
)
def test_any_mix_of_faults_leaves_no_wrong_object_and_the_next_run_completes(
    s3_server: S3Server,
    hub: list[dict[str, Any]],
    store: list[dict[str, Any]],
    workers: int,
    stop_after: int | None,
) -> None:
    options = TransferOptions(
        part_size=PART,
        stall_timeout=0.5,
        retry_timeout=2.0,
        progress_interval=0.05,
        workers=workers,
        memory=1 << 30,
    )
    with tempfile.TemporaryDirectory() as home, FakeHub() as running:
        name = f"mixed-{os.getpid()}-{next(_numbers)}"
        harness = StagingHarness(s3_server, running, name, Path(home))
        harness.options = options
        harness.add_model(FILES)
        proxy = FaultProxy(s3_server.port)
        try:
            harness.endpoint = proxy.endpoint
            switch_on(harness, proxy, hub, store)
            ended = in_time(harness, options, stop_after)
            assert_nothing_is_wrong(harness)
            if ended is not None and ended.manifest:
                assert len(harness.objects(f"{harness.layout.files_prefix}/")) == len(FILES)
            running.faults.clear()
            proxy.faults.clear()
            assert in_time(harness, options) is not None, "the next run does not complete"
            assert_nothing_is_wrong(harness)
            marked = harness.manifest()
            assert marked is not None and len(marked.entries) == len(FILES)
            assert len(harness.objects(f"{harness.layout.files_prefix}/")) == len(FILES)
        finally:
            proxy.stop()
