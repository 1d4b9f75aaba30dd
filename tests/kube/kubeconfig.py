"""Kubeconfig files on disk."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import yaml


def write(
    file: Path,
    *,
    clusters: dict[str, str] | None = None,
    users: dict[str, dict[str, Any]] | None = None,
    contexts: dict[str, tuple[str, str, str]] | None = None,
    current: str | None = "main",
) -> Path:
    """`clusters` maps names to URLs, `contexts` to (cluster, user, namespace)."""
    clusters = {"c1": "https://127.0.0.1:1"} if clusters is None else clusters
    users = {"u1": {"token": "token-1"}} if users is None else users
    contexts = {"main": ("c1", "u1", "")} if contexts is None else contexts
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": n, "cluster": {"server": url}} for n, url in clusters.items()],
        "users": [{"name": n, "user": user} for n, user in users.items()],
        "contexts": [
            {
                "name": name,
                "context": {
                    "cluster": cluster,
                    "user": user,
                    **({"namespace": namespace} if namespace else {}),
                },
            }
            for name, (cluster, user, namespace) in contexts.items()
        ],
    }
    if current:
        content["current-context"] = current
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(content))
    return file


def script(file: Path, body: str) -> Path:
    """An executable shell script."""
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def plugin(command: Path, **env: str) -> dict[str, Any]:
    """A user that logs in by an exec credential plugin."""
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(command),
            "args": ["get-token"],
            "env": [{"name": name, "value": value} for name, value in env.items()],
            "interactiveMode": "Never",
        }
    }
