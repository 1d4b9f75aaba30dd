"""The harness's own admission policy: what is made in certain namespaces runs on the real nodes.

The product knows nothing of a taint of the harness, and Fluid's chart has no host network for the
pods of a DataLoad; there is no other network for pods here.  So the API server adds both, to every
pod of a namespace that the harness names, and what the product and Fluid send stays as it is.

It also shortens two waits of Fluid's chart.  A master's mounts are tried every 4 seconds instead of
every 20, for the same 200 seconds: on a small machine the first try comes too early.  And a master
is killed after 5 seconds instead of 30: Fluid's script, its first process, ignores SIGTERM.
"""

from __future__ import annotations

import time
from typing import Any

from ..api import Api, Object
from ..fleet import REAL_TAINT

GROUP = "admissionregistration.k8s.io/v1"
_TOLERATION = f"{{'key': '{REAL_TAINT['key']}', 'operator': 'Exists'}}"
_PROBE = "/spec/containers/0/startupProbe"
#: A patch in JSON: an apply configuration cannot have a dash in a key of a map.
_CHANGE = f"""\
[JSONPatch{{op: 'add', path: '/spec/hostNetwork', value: true}},
 JSONPatch{{op: 'add', path: '/spec/dnsPolicy', value: 'ClusterFirstWithHostNet'}}] +
(has(object.spec.nodeSelector)
  ? [JSONPatch{{op: 'add', path: '/spec/nodeSelector/real-node', value: 'true'}}]
  : [JSONPatch{{op: 'add', path: '/spec/nodeSelector', value: {{'real-node': 'true'}}}}]) +
(has(object.spec.tolerations)
  ? [JSONPatch{{op: 'add', path: '/spec/tolerations/-', value: {_TOLERATION}}}]
  : [JSONPatch{{op: 'add', path: '/spec/tolerations', value: [{_TOLERATION}]}}]) +
(has(object.spec.containers[0].startupProbe)
  ? [JSONPatch{{op: 'add', path: '/spec/terminationGracePeriodSeconds', value: 5}},
     JSONPatch{{op: 'add', path: '{_PROBE}/periodSeconds', value: 4}},
     JSONPatch{{op: 'add', path: '{_PROBE}/failureThreshold', value: 50}}]
  : [])
"""


def objects(namespace: str, labels: dict[str, str]) -> list[Object]:
    """The policy for pods with these labels in a namespace, and its binding."""
    kind, meta = "MutatingAdmissionPolicy", {"name": f"real-nodes-{namespace}"}
    pods = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["pods"],
    }
    policy: dict[str, Any] = {
        "matchConstraints": {
            "resourceRules": [pods],
            "objectSelector": {"matchLabels": labels},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        },
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": _CHANGE}}],
    }
    return [
        {"apiVersion": GROUP, "kind": kind, "metadata": meta, "spec": policy},
        {
            "apiVersion": GROUP,
            "kind": f"{kind}Binding",
            "metadata": meta,
            "spec": {"policyName": meta["name"]},
        },
    ]


def direct(
    api: Api, namespace: str, labels: dict[str, str] | None = None, seconds: float = 30
) -> None:
    """Let the pods of a namespace, or those with certain labels, run on the real nodes from now on.

    Raises:
        RuntimeError: the policy is not in force in time.
    """
    for each in objects(namespace, labels or {}):
        api.apply(each)
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "namespace": namespace, "labels": labels or {}},
        "spec": {"containers": [{"name": "probe", "image": "probe"}]},
    }
    deadline = time.monotonic() + seconds
    while not api.create(probe, dryRun="All")["spec"].get("hostNetwork"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the policy for {namespace} is not in force")
        time.sleep(0.1)
