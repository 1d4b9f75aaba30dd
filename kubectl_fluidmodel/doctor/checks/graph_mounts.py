"""7xx: how components mount the cache."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor.check import (
    Case,
    Finding,
    Fix,
    Severity,
    check,
)
from kubectl_fluidmodel.doctor.graph_usage import readers, uses
from kubectl_fluidmodel.objects.access import at, dicts


@check("FM708", "the cache is mounted read-only", severity=Severity.WARNING)
def read_only(case: Case) -> Iterator[Finding]:
    """A container that may write to the mount will at some time: the Hub's library puts locks and
    partial files beside the weights. Alluxio refuses it late and with words that do not help. A
    v1alpha1 `volumeMounts` of a service cannot say it, and is not counted.
    """
    for use in uses(case):
        mounted = use.mounted
        volumes = {
            str(each.get("name")): each for each in dicts(use.component.pod_spec(), "volumes")
        }
        if mounted is None or mounted.volume not in volumes:
            continue
        source = at(volumes[mounted.volume], "persistentVolumeClaim", default={})
        container = use.component.main_container()
        entry = next(
            (e for e in dicts(container, "volumeMounts") if e.get("name") == mounted.volume), None
        )
        if entry is not None and not source.get("readOnly") and not entry.get("readOnly"):
            yield Finding(
                use.about,
                f"component {use.component.name} mounts the cache writable",
                (use.field(f"mount {mounted.path}", "no readOnly"),),
                use.change(entry, "readOnly", True),
            )


@check("FM709", "a service mounts in one way only", severity=Severity.WARNING)
def one_style(case: Case) -> Iterator[Finding]:
    """A v1alpha1 service has `volumeMounts` of its own and `mainContainer.volumeMounts` beside
    them. Operators 1.2 lose the former when they convert the object, and the pod comes without the
    cache. Keep both in `extraPodSpec`, as `pin` does.
    """
    for use in uses(case):
        listed = dicts(use.component.spec, "volumeMounts")
        inner = dicts(use.component.main_container(), "volumeMounts")
        mine = any(each.get("name") == case.own.name for each in listed)
        if mine and inner and "podTemplate" not in use.component.spec:
            yield Finding(
                use.about,
                f"component {use.component.name} mounts the cache by volumeMounts and other "
                "volumes by mainContainer.volumeMounts: operators 1.2 lose the cache",
                (
                    use.field("volumeMounts", case.own.name),
                    use.field("mainContainer.volumeMounts", str(inner[0].get("name"))),
                ),
                Fix(
                    f"mount claim {case.own.name} in extraPodSpec.volumes and mainContainer of "
                    f"component {use.component.name}, and not by volumeMounts",
                    "advice",
                ),
            )


@check("FM710", "the graph has no second pod template", severity=Severity.WARNING)
def one_template(case: Case) -> Iterator[Finding]:
    """A component has a pod template for checkpoints beside its own. `pin` does not reach it: pods
    that are made from it have neither the mount nor the affinity.
    """
    for use in readers(case):
        place = use.component.own_pod_template
        if place:
            yield Finding(
                use.about,
                f"pods that component {use.component.name} makes from {place} do not use the cache",
                (use.field(place, "a pod template"),),
                Fix(f"add volume, mount and affinity to {place}", "advice"),
            )
