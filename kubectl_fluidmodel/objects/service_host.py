"""Host names of Services. Pure."""

from __future__ import annotations


def parse_service_host(host: str, namespace: str) -> tuple[str, str] | None:
    """Return the (namespace, Service) of a host name in the cluster, or None.

    `minio`, `minio.store`, `minio.store.svc` and `minio.store.svc.cluster.local` are such names.
    Other names with dots are outside the cluster.
    """
    if not host or ":" in host:  # empty, or an IPv6 address
        return None
    parts = host.rstrip(".").split(".")
    if len(parts) == 1:
        return (namespace, parts[0]) if not parts[0].isdigit() else None
    if len(parts) == 2 and not parts[1].isdigit():
        return parts[1], parts[0]
    if len(parts) >= 3 and parts[2] == "svc":
        return parts[1], parts[0]
    return None
