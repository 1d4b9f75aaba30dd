"""Creates a reference to a cache of another namespace, waits for it, and verifies its source."""

from __future__ import annotations

from collections.abc import Callable

from kubectl_fluidmodel.cache import apply, preflight
from kubectl_fluidmodel.cache.hints import RBAC_DOCS, doctor, other_name
from kubectl_fluidmodel.cache.reference.options import ReferenceOptions
from kubectl_fluidmodel.cache.reference.source_verification import verify_source
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.errors import FluidModelError, WaitTimeoutError
from kubectl_fluidmodel.fluid import installation, names, status
from kubectl_fluidmodel.fluid.dataset import build_reference
from kubectl_fluidmodel.fluid.reference import (
    THIN_CONTROLLER,
    reference_uri,
    referred_dataset,
)
from kubectl_fluidmodel.kube import permissions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.kube.wait import read_until
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.output.shell import Operand, command, kubectl
from kubectl_fluidmodel.records import dataclass

_POLL_INTERVAL = 1.0
"""Seconds between two reads while Fluid binds the reference; it needs a few."""
_MAX_MISSING = 3
"""Missing files that an error names."""


@dataclass(frozen=True)
class Reference:
    """The reference, and what is known of the cache that it refers to."""

    namespace: str
    options: ReferenceOptions
    dataset: Object
    source: Object
    """The source's Dataset."""
    verification: Verification | None = None
    """What the source holds; None if nobody waited for the reference."""

    @property
    def source_label(self) -> str:
        """The label of the nodes that hold the source, by which workers are pinned."""
        return names.cache_label(*self.options.source, names.uid_of(self.source))


def required_permissions(options: ReferenceOptions, namespace: str) -> list[Permission]:
    """Return the permissions to create a reference: in its namespace, and in its source's."""
    required = [Permission(verb, names.DATASETS, namespace) for verb in ("get", "create", "patch")]
    required.append(Permission("get", names.ALLUXIO_RUNTIMES, namespace))
    required.append(Permission("get", kinds.PVCS, namespace))
    for kind in (names.DATASETS, names.ALLUXIO_RUNTIMES):
        required.append(Permission("get", kind, options.source[0]))
    return required


def plan_reference(client: Client, options: ReferenceOptions) -> Reference:
    """Check everything that can be known before the first write.

    Raises:
        FluidModelError: names the obstacle and a solution.
    """
    namespace = client.namespace
    preflight.require_fluid_api(client)
    permissions.require_permissions(
        client,
        required_permissions(options, namespace),
        task=f"refer to {'/'.join(options.source)} from {namespace}",
        docs=RBAC_DOCS,
    )
    preflight.check_namespace(client, namespace)
    _require_thin_controller(client)
    source = _require_source(client, options, namespace)
    _require_name_available(client, options, namespace)
    dataset = build_reference(options.name, namespace, options.source)
    return Reference(namespace, options, dataset, source)


def create_reference(
    client: Client, reference: Reference, log: Callable[[str], None], *, dry_run: bool = False
) -> None:
    """Apply the Dataset; Fluid makes the rest.

    Raises:
        FluidModelError: the API server refuses it.
    """
    apply.apply_and_log(client, reference.dataset, log, dry_run=dry_run)


def wait_and_verify(
    client: Client, reference: Reference, deadline: float, log: Callable[[str], None]
) -> Verification:
    """Wait until pods can mount the reference, then look at what its source holds.

    Args:
        client: The cluster.
        reference: The reference.
        deadline: The time.monotonic() at which the wait ends.
        log: Gets why files are not compared.

    Raises:
        WaitTimeoutError: it does not become Bound in time.
        FluidModelError: the source is not complete.
    """
    name, namespace = reference.options.name, reference.namespace

    def read_phases() -> tuple[str, str]:
        dataset = client.get_or_none(names.DATASETS, name, namespace)
        claim = client.get_or_none(kinds.PVCS, name, namespace)
        return status.parse_dataset(dataset).phase, get_path(claim, "status", "phase", default="")

    phases = read_until(read_phases, _are_bound, deadline, interval=_POLL_INTERVAL)
    if not _are_bound(phases):
        raise WaitTimeoutError(
            f"the reference {name} is not ready in time",
            f"its Dataset is {phases[0]}",
            str(doctor(name, namespace)),
        )
    source_namespace, source_name = reference.options.source
    verification = verify_source(client, source_namespace, source_name, log)
    if not verification.complete:
        raise FluidModelError(
            f"{name} is ready, but its source {source_namespace}/{source_name} is incomplete",
            verification.reason or "; ".join(verification.missing[:_MAX_MISSING]),
            str(doctor(source_name, source_namespace)),
        )
    return verification


# -- what is checked -----------------------------------------------------------------------------


def _require_source(client: Client, options: ReferenceOptions, namespace: str) -> Object:
    """Raises: FluidModelError: the Dataset cannot be referred to."""
    source_namespace, name = options.source
    uri = reference_uri(source_namespace, name)
    if source_namespace == namespace:
        raise FluidModelError(
            f"{uri} is in this namespace",
            "graphs can use it without a reference",
            str(kubectl("fluidmodel", "pin", Operand(name), "GRAPH", namespace=namespace)),
        )
    source = client.get_or_none(names.DATASETS, name, source_namespace)
    if source is None:
        raise FluidModelError(
            f"{uri} does not exist", "", str(kubectl("get", "datasets", namespace=source_namespace))
        )
    origin = referred_dataset(source)
    if origin is not None:
        raise FluidModelError(
            f"{uri} is a reference itself",
            "Fluid follows only one",
            str(command("kubectl", "fluidmodel", "cache", reference_uri(*origin))),
        )
    phase = status.parse_dataset(source).phase
    if phase != "Bound" or is_terminating(source):
        state = "being deleted" if is_terminating(source) else phase
        raise FluidModelError(
            f"{uri} is {state}",
            "only a Bound cache can be referred to",
            str(doctor(name, source_namespace)),
        )
    return source


def _require_name_available(client: Client, options: ReferenceOptions, namespace: str) -> None:
    """Raises: FluidModelError: something else has the name, or would collide with the reference."""
    name, uri = options.name, reference_uri(*options.source)
    existing = client.get_or_none(names.DATASETS, name, namespace)
    if existing is not None and is_terminating(existing):
        raise FluidModelError(
            f"Dataset {name} in namespace {namespace} is being deleted",
            "",
            str(doctor(name, namespace)),
        )
    if existing is not None and (
        not names.is_managed(existing) or names.source_uri(existing) != uri
    ):
        raise FluidModelError(
            f"the name {name} is taken in namespace {namespace}",
            f"its Dataset has the source {names.source_uri(existing) or 'none'}",
            str(other_name(name)),
        )
    if existing is None and client.get_or_none(kinds.PVCS, name, namespace) is not None:
        raise FluidModelError(
            f"PersistentVolumeClaim {name} exists in namespace {namespace}",
            "Fluid creates a claim with that name",
            str(other_name(name)),
        )
    # Fluid copies the source's ConfigMap under its own name (referencedataset/cm.go).
    source_name = options.source[1]
    if client.get_or_none(names.ALLUXIO_RUNTIMES, source_name, namespace) is not None:
        raise FluidModelError(
            f"namespace {namespace} has an AlluxioRuntime {source_name} of its own",
            f"Fluid would need the name of its ConfigMap {source_name}-config for the source's",
            "a cache of another name in one of the namespaces",
        )


def _require_thin_controller(client: Client) -> None:
    """Raises: FluidModelError: it is known that no controller handles references.

    Fluid's dataset controller starts it if it is scaled to 0, so that is no obstacle.
    """
    try:
        controller = client.get_or_none(kinds.DEPLOYMENTS, THIN_CONTROLLER, names.SYSTEM_NAMESPACE)
        other = controller or client.get_or_none(
            kinds.DEPLOYMENTS, installation.DATASET_CONTROLLER, names.SYSTEM_NAMESPACE
        )
    except ForbiddenError:
        return
    if controller is None and other is not None:
        raise FluidModelError(
            "Fluid is installed without its ThinRuntime controller",
            "references to other namespaces need it",
            "helm upgrade fluid fluid/fluid -n fluid-system --set runtime.thin.enabled=true",
        )


def _are_bound(phases: tuple[str, str]) -> bool:
    return phases == ("Bound", "Bound")
