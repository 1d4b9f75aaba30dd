"""7xx: how components mount the cache."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor.check import CheckContext, Finding, Fix, Severity, register_check
from kubectl_fluidmodel.doctor.graph_usage import component_usages, reading_workers
from kubectl_fluidmodel.objects.access import get_list, get_path


@register_check("FM708", "the cache is mounted read-only", severity=Severity.WARNING)
def cache_is_mounted_read_only(context: CheckContext) -> Iterator[Finding]:
    """A component mounts the cache with write access.

    Sooner or later something writes: the Hub's library puts locks and partial files next to the
    weights. Alluxio rejects the write late, with an unhelpful message. A v1alpha1 service's
    `volumeMounts` cannot be read-only, and are not reported.
    """
    for use in component_usages(context):
        mounted = use.claim_mount
        volumes = {
            str(volume.get("name")): volume
            for volume in get_list(use.component.pod_spec(), "volumes")
        }
        if mounted is None or mounted.volume not in volumes:
            continue
        source = get_path(volumes[mounted.volume], "persistentVolumeClaim", default={})
        container = use.component.main_container()
        entry = next(
            (e for e in get_list(container, "volumeMounts") if e.get("name") == mounted.volume),
            None,
        )
        if entry is not None and not source.get("readOnly") and not entry.get("readOnly"):
            yield Finding(
                use.about,
                f"component {use.component.name} mounts the cache with write access",
                (use.field_evidence(f"mount {mounted.path}", "no readOnly"),),
                use.set_field_fix(entry, "readOnly", True),
            )


@register_check("FM709", "a service uses one way to mount volumes", severity=Severity.WARNING)
def service_mounts_in_one_way(context: CheckContext) -> Iterator[Finding]:
    """A service mounts volumes in two ways, and some operators lose one of them.

    A v1alpha1 service has its own `volumeMounts` and `mainContainer.volumeMounts`. Operators 1.2
    lose the former when they convert the object, and the pod starts without the cache. Put both
    into `extraPodSpec`, as `pin` does.
    """
    for use in component_usages(context):
        own_mounts = get_list(use.component.spec, "volumeMounts")
        inner = get_list(use.component.main_container(), "volumeMounts")
        mounts_cache = any(
            volume_mount.get("name") == context.cache.name for volume_mount in own_mounts
        )
        if mounts_cache and inner and "podTemplate" not in use.component.spec:
            yield Finding(
                use.about,
                f"component {use.component.name} mounts the cache by volumeMounts and other "
                "volumes by mainContainer.volumeMounts: operators 1.2 lose the cache",
                (
                    use.field_evidence("volumeMounts", context.cache.name),
                    use.field_evidence("mainContainer.volumeMounts", str(inner[0].get("name"))),
                ),
                Fix(
                    f"mount claim {context.cache.name} in extraPodSpec.volumes and mainContainer "
                    "of "
                    f"component {use.component.name}, and not by volumeMounts",
                    "advice",
                ),
            )


@register_check("FM710", "components have one pod template", severity=Severity.WARNING)
def component_has_one_pod_template(context: CheckContext) -> Iterator[Finding]:
    """A component has a second pod template, which `pin` does not change.

    It is used for checkpoints. Pods that are created from it have neither the mount nor the
    affinity.
    """
    for use in reading_workers(context):
        template = use.component.second_pod_template
        if template:
            yield Finding(
                use.about,
                f"pods that component {use.component.name} creates from {template} do not use the "
                "cache",
                (use.field_evidence(template, "a pod template"),),
                Fix(f"add volume, mount and affinity to {template}", "advice"),
            )
