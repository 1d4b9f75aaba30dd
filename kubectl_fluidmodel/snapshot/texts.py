"""How support bundles store logs, command output and probe results: one string per key. Pure.

A Snapshot has typed fields for them. Bundles of every version have these keys:

    log NAMESPACE/POD/CONTAINER              a container's log
    previous log NAMESPACE/POD/CONTAINER     the log of the container before its last restart
    NAMESPACE/CACHE: COMMAND                 output of a command in the cache's master
    store NAMESPACE/CACHE                    JSON list of probe results, one per mount
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field

from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.probe_result import ProbeResult, from_document, to_document
from kubectl_fluidmodel.snapshot.snapshot import CommandKey, LogKey, Snapshot


@dataclass
class Texts:
    """Fields that a Snapshot has under the same names, and that a bundle stores as strings."""

    logs: dict[LogKey, str] = field(default_factory=dict)
    command_outputs: dict[CommandKey, str] = field(default_factory=dict)
    probe_results: dict[tuple[str, str], tuple[ProbeResult, ...]] = field(default_factory=dict)
    unreadable_probes: dict[tuple[str, str], str] = field(default_factory=dict)


_LOG = re.compile(r"(previous )?log ([^/]*)/([^/]*)/(.*)", re.DOTALL)
_PROBE = re.compile(r"store ([^/]*)/(.*)", re.DOTALL)
_COMMAND = re.compile(r"([^/]*)/([^:]*): (.*)", re.DOTALL)


def encode_texts(snapshot: Snapshot) -> dict[str, str]:
    """Logs, command output and probe results of a snapshot as a bundle stores them."""
    encoded = {
        f"{'previous ' if key.previous else ''}log {key.namespace}/{key.pod}/{key.container}": log
        for key, log in snapshot.logs.items()
    }
    for key, output in snapshot.command_outputs.items():
        encoded[f"{key.namespace}/{key.cache}: {key.command}"] = output
    for (namespace, name), results in snapshot.probe_results.items():
        documents = [to_document(result) for result in results]
        encoded[f"store {namespace}/{name}"] = json.dumps(documents, sort_keys=True)
    return encoded


def decode_texts(encoded: Mapping[str, str]) -> Texts:
    """Parse what `encode_texts` returned; unknown keys are dropped."""
    texts = Texts()
    for key, text in encoded.items():
        if log := _LOG.fullmatch(key):
            texts.logs[LogKey(log[2], log[3], log[4], bool(log[1]))] = text
        elif probe := _PROBE.fullmatch(key):
            try:
                results = tuple(from_document(document) for document in json.loads(text))
                texts.probe_results[(probe[1], probe[2])] = results
            except (ValueError, TypeError, RecursionError) as err:
                texts.unreadable_probes[(probe[1], probe[2])] = str(err)
        elif command := _COMMAND.fullmatch(key):
            texts.command_outputs[CommandKey(*command.groups())] = text
    return texts
