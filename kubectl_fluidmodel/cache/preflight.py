"""Look before building: may we, is Fluid there and alive, and is the name free?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from kubectl_fluidmodel.cache import ending
from kubectl_fluidmodel.cache.desired import Existing
from kubectl_fluidmodel.cache.options import Request
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import installation, names
from kubectl_fluidmodel.fluid import secret as secrets
from kubectl_fluidmodel.kube import permissions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden, KubeError, NotFound
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.model.source import same
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, annotations_of, at, labels_of, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.stage import job_run
from kubectl_fluidmodel.stage.job import work_of

DOCS = "docs/rbac.md has a Role that suffices"


@dataclass
class Findings:
    """What the preflight learnt that later steps go by."""

    existing: Existing
    may_exec: bool = False
    may_read_logs: bool = False
    notes: list[str] = field(default_factory=list)


def needed(request: Request, namespace: str) -> list[Permission]:
    """The permissions without which `cache` cannot do its work."""
    verbs = ("get", "list", "watch", "create", "patch")
    found = [
        Permission(verb, kind, namespace)
        for kind in (names.DATASETS, names.ALLUXIO_RUNTIMES)
        for verb in verbs
    ]
    if request.load:
        found += [Permission(verb, names.DATA_LOADS, namespace) for verb in (*verbs, "delete")]
    found += [Permission(verb, kinds.PVCS, namespace) for verb in ("get", "list", "watch")]
    if request.source.scheme == "s3":
        found.append(Permission("get", kinds.SECRETS, namespace))
        if not request.s3_secret:
            found += [Permission(verb, kinds.SECRETS, namespace) for verb in ("create", "patch")]
    if request.source.scheme == "nfs":
        found += [Permission(verb, kinds.PVS) for verb in ("get", "create", "patch")]
        found += [Permission(verb, kinds.PVCS, namespace) for verb in ("create", "patch")]
    return found


def helpful(namespace: str) -> list[Permission]:
    """Permissions that make it better: where they lack, `cache` says what it cannot do."""
    return [*_exec(namespace), _log(namespace)]


def _exec(namespace: str) -> list[Permission]:
    """A WebSocket upgrade is a GET; newer API servers ask for `create` besides (1.35)."""
    return [Permission(verb, kinds.PODS, namespace, "exec") for verb in ("get", "create")]


def _log(namespace: str) -> Permission:
    return Permission("get", kinds.PODS, namespace, "log")


def of_a_job(namespace: str) -> list[Permission]:
    """What staging by a Job takes besides."""
    verbs = ("get", "list", "watch", "create", "patch", "delete")
    found = [Permission(verb, kinds.JOBS, namespace) for verb in verbs]
    found += [Permission(verb, kinds.PODS, namespace) for verb in ("list", "watch")]
    return [*found, _log(namespace)]


def check(
    client: Client, request: Request, namespace: str, besides: Sequence[Permission] = ()
) -> Findings:
    """Everything that must hold before the first write; `besides` is what staging takes.

    Raises:
        FluidModelError: with what does not hold and the way out.
    """
    secret_fits(request)
    fluid_serves(client)
    permissions.require(
        client,
        [*needed(request, namespace), *besides],
        task=f"cache a model in {namespace}",
        docs=DOCS,
    )
    of_namespace = namespace_exists(client, namespace)
    source_exists(client, request, namespace)
    lacking = permissions.missing(client, helpful(namespace))
    findings = Findings(
        Existing(),
        may_exec=not any(permission in lacking for permission in _exec(namespace)),
        may_read_logs=_log(namespace) not in lacking,
    )
    if not findings.may_exec:
        findings.notes.append(
            "without permission to get and create pods/exec the proof rests on Fluid's rounded "
            "totals instead of every single file"
        )
    findings.notes += of_namespace
    findings.notes += controllers(client)
    findings.existing = existing(client, request, namespace)
    stays(client, request, namespace, findings.existing)
    name_is_free(client, request, namespace, findings.existing)
    findings.notes += no_rival(client, request, namespace)
    return findings


def fluid_serves(client: Client) -> None:
    """Raises: FluidModelError: the API server does not serve Fluid's kinds."""
    versions = client.served_versions(names.GROUP)
    if not versions:
        raise FluidModelError("Fluid is not installed in this cluster", "", installation.INSTALL)
    if names.VERSION not in versions:
        raise FluidModelError(
            f"this Fluid does not serve {names.GROUP}/{names.VERSION}",
            f"it serves {', '.join(versions)}",
            "helm upgrade fluid fluid/fluid -n fluid-system",
        )


def secret_fits(request: Request) -> None:
    """Raises: UsageError: Fluid cannot mount a Secret of that name."""
    secret = request.s3_secret
    if secret and request.source.scheme == "s3" and not secrets.fits(secret):
        raise UsageError(
            f"Fluid cannot mount the Secret {secret}",
            f"it names a volume {secrets.VOLUME}<secret>, which has no dots and at most 63 "
            "characters",
            f"--s3-secret with a copy called {secrets.fitting(secret)}",
        )


def namespace_exists(client: Client, namespace: str) -> list[str]:
    """Notes on the namespace. Not being allowed to look is fine.

    Raises:
        FluidModelError: there is none, or it does not admit Fluid's pods.
    """
    try:
        found = client.get(kinds.NAMESPACES, namespace)
    except NotFound as err:
        raise FluidModelError(
            f"namespace {namespace} does not exist", "", f"kubectl create namespace {namespace}"
        ) from err
    except Forbidden:
        return []
    if is_terminating(found):
        raise ending.refuse({"kind": kinds.NAMESPACES.name, **found})
    return _admits_fluid(client, namespace, labels_of(found).get(_ENFORCED, "privileged"))


_ENFORCED = "pod-security.kubernetes.io/enforce"


def _admits_fluid(client: Client, namespace: str, level: str) -> list[str]:
    """Whether Pod Security lets pods like those of Alluxio in; a note where it cannot be tried.

    They use their node's network and paths, which `baseline` forbids (Pod Security Standards).
    """
    if level == "privileged":
        return []
    way = f"kubectl label namespace {namespace} {_ENFORCED}=privileged --overwrite"
    container = {"name": "tried", "image": "tried", "volumeMounts": []}
    like: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "fluidmodel-tried", "namespace": namespace},
        "spec": {
            "hostNetwork": True,
            "containers": [container],
            "volumes": [{"name": "tier", "hostPath": {"path": "/dev/shm"}}],  # noqa: S108
        },
    }
    try:
        client.create(kinds.PODS, like, dry_run=True)
    except Forbidden as err:
        if "PodSecurity" in str(err):
            raise FluidModelError(
                f"namespace {namespace} does not admit Fluid's pods",
                f"it enforces the Pod Security Standard '{level}', and they use their node's "
                "network and paths",
                f"another namespace, or {way}",
            ) from err
        return [
            f"namespace {namespace} enforces the Pod Security Standard '{level}', which Fluid's "
            f"pods do not meet; if they are not exempt: {way}"
        ]
    except KubeError:  # another admission plugin, which may say otherwise of the real pods
        return []
    return []


def source_exists(client: Client, request: Request, namespace: str) -> None:
    """Raises: FluidModelError: the claim of a pvc:// source is not in the namespace."""
    if request.source.scheme != "pvc":
        return
    claim = client.find(kinds.PVCS, request.source.host, namespace)
    if claim is not None and is_terminating(claim):
        raise ending.refuse({"kind": kinds.PVCS.name, **claim})
    if claim is None:
        raise FluidModelError(
            f"{request.source.uri} does not exist",
            f"namespace {namespace} has no such claim, and a Dataset reads from its own namespace",
            f"kubectl get pvc -n {namespace}",
        )


def controllers(client: Client) -> list[str]:
    """Notes on Fluid's controllers, read where RBAC lets us.

    Raises:
        FluidModelError: the dataset controller is down, or Fluid is too old.
    """
    space = names.SYSTEM_NAMESPACE
    try:
        found = client.find(kinds.DEPLOYMENTS, installation.DATASET_CONTROLLER, space)
    except Forbidden:
        return []
    if found is None:
        return []
    version = installation.version_of(found)
    if version is not None and version < installation.OLDEST:
        raise FluidModelError(
            f"Fluid {installation.dotted(version)} is too old",
            f"{installation.dotted(installation.OLDEST)} or newer is needed",
            "helm upgrade fluid fluid/fluid -n fluid-system",
        )
    if at(found, "spec", "replicas", default=1) == 0:
        raise FluidModelError(
            "Fluid's dataset-controller is scaled to 0",
            "no Dataset would ever be served",
            installation.scale_up(installation.DATASET_CONTROLLER),
        )
    if not at(found, "status", "availableReplicas", default=0):
        return [f"Fluid's dataset-controller has no ready pod (kubectl get pods -n {space})"]
    return []


def existing(client: Client, request: Request, namespace: str) -> Existing:
    """What stands under the cache's name."""
    return Existing(
        dataset=client.find(names.DATASETS, request.name, namespace),
        runtime=client.find(names.ALLUXIO_RUNTIMES, request.name, namespace),
        load=client.find(names.DATA_LOADS, request.name, namespace) if request.load else None,
    )


def stays(client: Client, request: Request, namespace: str, standing: Existing) -> None:
    """Raises: FluidModelError: what stands under the cache's name is being deleted.

    A DataLoad is not looked at: one that goes makes room for the next.
    """
    name = request.name
    found: list[tuple[Kind, Object | None]] = [
        (names.DATASETS, standing.dataset),
        (names.ALLUXIO_RUNTIMES, standing.runtime),
        (kinds.PVCS, client.find(kinds.PVCS, name, namespace)),
    ]
    if request.source.scheme == "s3":
        secret = request.s3_secret or secrets.store_name(name)
        found.append((kinds.SECRETS, client.find(kinds.SECRETS, secret, namespace)))
    with suppress(Forbidden):  # the claim goes before its volume
        found.append((kinds.PVS, client.find(kinds.PVS, names.volume_name(namespace, name))))
    objects = [obj and {"kind": kind.name, **obj} for kind, obj in found]
    ending.require_staying(client, namespace, name, objects)


def name_is_free(client: Client, request: Request, namespace: str, standing: Existing) -> None:
    """Nothing foreign, and no cache of another source, has the name.

    Raises:
        FluidModelError: with the object in the way and the two ways out.
    """
    name = request.name
    way = _other_name(name)
    for obj in (standing.dataset, standing.runtime, standing.load):
        if obj is not None and not names.is_ours(obj):
            raise FluidModelError(
                f"{obj.get('kind')} {name} in namespace {namespace} was not made by this plugin",
                "it would be overwritten",
                way,
            )
    if standing.dataset is not None:
        other = names.source_of(standing.dataset)
        if not same(other, request.known_as):
            raise FluidModelError(
                f"the name {name} is taken in namespace {namespace}",
                f"it caches {other}",
                f"{way}, or kubectl fluidmodel uncache {name} -n {namespace}",
            )
        return
    claim = client.find(kinds.PVCS, name, namespace)
    if claim is not None and annotations_of(claim).get("CreatedBy") != "fluid":
        raise FluidModelError(
            f"PersistentVolumeClaim {name} exists in namespace {namespace}",
            "Fluid makes one of that name, and this is not it",
            way,
        )
    if request.source.scheme == "s3" and not request.s3_secret:
        wanted = secrets.store_name(name)
        keys = client.find(kinds.SECRETS, wanted, namespace)
        if keys is not None and not names.is_ours(keys):
            raise FluidModelError(
                f"Secret {wanted} was not made by this plugin",
                "it would be overwritten",
                f"--s3-secret {wanted}, or {way}",
            )
    _volume_is_free(client, name, namespace, way)


def no_rival(client: Client, request: Request, namespace: str) -> list[str]:
    """Nobody stages another model for a cache of this name; notes on Jobs of other commits.

    Raises:
        FluidModelError: with the Job that is at work, and the two ways out.
    """
    name = request.name
    try:
        working = job_run.at_work(client, name, namespace)
    except Forbidden:  # who may not see Jobs makes none
        return []
    others = [each for each in working if not same(work_of(each), request.known_as)]
    if others:
        raise name_is_staged(others[0], name, namespace)
    old = [each for each in working if request.commit and _commit(each) != request.commit]
    return [
        f"Job {name_of(each)} still stages commit {_commit(each)[:12]}, and is left alone "
        f"(kubectl delete job {name_of(each)} -n {namespace} ends it)"
        for each in old
    ]


def rivals(client: Client, name: str, namespace: str, repo: str) -> list[Object]:
    """Jobs that stage another model than `repo` for a cache of the name."""
    working = job_run.at_work(client, name, namespace)
    return [each for each in working if not same(work_of(each), f"hf://{repo}")]


def name_is_staged(work: Object, name: str, namespace: str) -> FluidModelError:
    """What is said where a Job stages another model for a cache of the name."""
    return FluidModelError(
        f"the name {name} is taken in namespace {namespace}",
        f"Job {name_of(work)} is staging {work_of(work)} for it",
        f"{_other_name(name)}, or kubectl delete job {name_of(work)} -n {namespace}",
    )


def _commit(work: Object) -> str:
    return annotations_of(work).get(names.COMMIT_ANNOTATION, "")


def _other_name(name: str) -> str:
    return f"--name {name[:41]}-alt" if len(name) > 41 else f"--name {name}-2"


def _volume_is_free(client: Client, name: str, namespace: str, way: str) -> None:
    """Fluid names the PV `<namespace>-<name>`, on which two Datasets can collide."""
    try:
        volume = client.find(kinds.PVS, names.volume_name(namespace, name))
    except Forbidden:
        return
    claim = at(volume, "spec", "claimRef", default={}) if volume else {}
    owner = (str(claim.get("namespace", "")), str(claim.get("name", "")))
    if volume is not None and owner != (namespace, name):
        raise FluidModelError(
            f"PersistentVolume {names.volume_name(namespace, name)} exists",
            f"it belongs to {'/'.join(owner).strip('/') or 'nobody'}, and Fluid would take it for "
            f"the volume of {namespace}/{name}",
            way,
        )
