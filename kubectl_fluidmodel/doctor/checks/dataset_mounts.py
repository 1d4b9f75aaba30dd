"""2xx: the mounts of a Dataset: what Fluid can read, and where its files are in the volume."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, mount_fix, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    register_check,
)
from kubectl_fluidmodel.doctor.observations import cache_reference
from kubectl_fluidmodel.fluid import mount, names
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects.access import get_list, get_path

_SUPPORTED_SCHEMES = {
    *("s3", "s3a", "oss", "cosn", "cos", "gs", "gcs", "hdfs", "http", "https", "local", "pvc"),
    *("dataset", "wasb", "wasbs", "abfs", "abfss", "adl", "swift", "kodo", "cephfs", "ozone"),
    *("o3fs", "ofs", "obs", "viewfs", "alluxio", "file"),
}
_HUB_URL = re.compile(r"(?:hf://|https?://(?:www\.)?huggingface\.co/)([\w.-]+/[\w.-]+)?.*")


@register_check("FM210", "the files are at the root of the volume", severity=Severity.WARNING)
def files_are_at_volume_root(context: CheckContext) -> Iterator[Finding]:
    """The model's files are in a directory of the volume, not at its root.

    A mount without `path: /` shows its files below `/<mount name>`, and so does each of several
    mounts. Engines look for `config.json` at the root of their mount, so every pod then needs a
    `subPath`. One of several mounts cannot have `path: /`: Fluid skips it.
    """
    cache = context.cache
    mounts = get_list(cache.dataset, "spec", "mounts")
    skipped = mount.skipped_mounts(mounts)
    for number in skipped:
        yield Finding(
            cache_reference(cache),
            f"mount {number} has path '/', and Fluid skips such a mount if there are others: "
            "its files are not visible",
            _mount_path_evidence(cache, number),
            Fix("create a separate Dataset for each source, or give each mount a name", "advice"),
            Severity.ERROR,
        )
    if mount_fix.should_mount_at_root(cache):
        folder = mount.claim_directory(mounts[0])
        yield Finding(
            cache_reference(cache),
            f"the files are in the directory /{folder} of the volume, not at its root",
            _mount_path_evidence(cache, 0),
            mount_fix.mount_fix(context),
        )
    folders = [mount.claim_directory(m) for n, m in enumerate(mounts) if n not in skipped]
    below = [folder for folder in folders if folder]
    if len(mounts) < 2 or not below or mount_fix.readers_mount_only(cache, below):
        return
    yield Finding(
        cache_reference(cache),
        f"the files are in the directories {', '.join(f'/{folder}' for folder in below)}, not at "
        "the root of the volume",
        tuple(
            evidence
            for number in range(len(mounts))
            if number not in skipped
            for evidence in _mount_path_evidence(cache, number)
        ),
        Fix(
            f"mount the directory of a model with its subPath ({', '.join(below)}), or create a "
            "separate Dataset for each model",
            "advice",
        ),
    )


def _mount_path_evidence(cache: Cache, number: int) -> tuple[Evidence, ...]:
    """The fields from which Fluid derives the path of a mount."""
    path = ("spec", "mounts", number)
    keys = [key for key in ("path", "name") if get_path(cache.dataset, *path, key) is not None]
    return tuple(
        observations.field_evidence(cache.dataset or {}, *path, key) for key in keys or ["path"]
    )


@register_check("FM218", "Fluid supports this kind of source", explains=("FM208",))
def source_scheme_is_supported(context: CheckContext) -> Iterator[Finding]:
    """Fluid cannot read from this kind of source.

    Alluxio supports object stores, HDFS and web directories; Fluid adds claims and directories of
    nodes. The Hugging Face Hub is not among them: stage a model from there into a bucket first.
    """
    cache = context.cache
    if not names.is_alluxio_runtime(cache.runtime):
        return
    for number, entry in enumerate(get_list(cache.dataset, "spec", "mounts")):
        point = str(entry.get("mountPoint", ""))
        scheme = point.partition("://")[0].lower() if "://" in point else ""
        hub = _HUB_URL.match(point)
        if scheme in _SUPPORTED_SCHEMES and not hub:
            continue
        evidence = (Evidence(cache_reference(cache), f"spec.mounts[{number}].mountPoint", point),)
        if hub:
            model = hub[1] or "ORG/MODEL"
            yield Finding(
                cache_reference(cache),
                "Fluid cannot read from the Hugging Face Hub",
                evidence,
                Fix(
                    cache_commands.recreate_cache(
                        cache, source=model, flags=("--to", "s3://BUCKET")
                    )
                ),
            )
        else:
            yield Finding(
                cache_reference(cache),
                f"Fluid with Alluxio cannot read {scheme + '://' if scheme else point}",
                evidence,
                Fix("kubectl fluidmodel cache --help lists the supported sources", "advice"),
            )
