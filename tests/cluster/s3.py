"""The S3 server: a real one, on loopback, with users, policies and a way in from the cluster."""

from __future__ import annotations

import base64
import json
import secrets
import time
from pathlib import Path
from typing import Any

import urllib3

from . import fleet
from .api import Api
from .process import locked
from .s3users import REGION, Users


def new_credentials() -> dict[str, str]:
    return {
        "access_key": f"FM{secrets.token_hex(8).upper()}",
        "secret_key": secrets.token_urlsafe(30),
    }


class S3(Users):
    """The server of one cluster."""

    def __init__(self, state: Path, port: int, credentials: dict[str, str], api: Api) -> None:
        super().__init__(
            f"http://127.0.0.1:{port}", credentials["access_key"], credentials["secret_key"]
        )
        self.state, self.port, self.api = state, port, api
        self.region = REGION

    def env(self, access_key: str | None = None, secret_key: str | None = None) -> dict[str, str]:
        """The environment by which any S3 client finds and may use the server."""
        return {
            "AWS_ACCESS_KEY_ID": access_key or self.access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key or self.secret_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, access_key: str | None = None, secret_key: str | None = None) -> Any:
        """A boto3 client, path-style."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=access_key or self.access_key,
            aws_secret_access_key=secret_key or self.secret_key,
            config=Config(
                # Given, as presigned URLs otherwise have the old signature.
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                retries={"max_attempts": 3},
            ),
        )

    def wait(self, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        http = urllib3.PoolManager(retries=False)
        while True:
            try:
                if http.request("GET", f"{self.endpoint}/healthz", timeout=2).status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                pass
            if time.monotonic() > deadline:
                raise RuntimeError(f"the S3 server at {self.endpoint} did not answer")
            time.sleep(0.05)

    # -- policies --------------------------------------------------------------------

    def allow(
        self,
        bucket: str,
        access_key: str,
        actions: list[str] | None = None,
        deny: list[str] | None = None,
        prefix: str = "*",
    ) -> None:
        """Set the bucket's policy: what one user may do, and may not."""
        resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/{prefix}"]
        statements = []
        for effect, names in (
            ("Allow", actions or ["s3:GetObject", "s3:ListBucket"]),
            ("Deny", deny or []),
        ):
            for name in names:
                on_objects = "Object" in name or name.endswith("Multipart") or "Upload" in name
                where = (
                    resources
                    if name == "s3:*"
                    else (resources[1:] if on_objects and "Bucket" not in name else resources[:1])
                )
                statements.append(
                    {
                        "Effect": effect,
                        "Principal": {"AWS": [access_key]},
                        "Action": [name],
                        "Resource": where,
                    }
                )
        self.policy(bucket, statements)

    def policy(self, bucket: str, statements: list[dict[str, Any]]) -> None:
        document = {"Version": "2012-10-17", "Statement": statements}
        self.client().put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))

    # -- the way in from the cluster -----------------------------------------------------------

    def expose(self, namespace: str = "default", name: str = "s3") -> str:
        """Make a Service and a pod that forward to the server; returns the in-cluster endpoint.

        ``kubectl port-forward svc/NAME`` reaches the real server, and so do pods that run for real
        by the Service's DNS names, which their ``/etc/hosts`` has.
        """
        labels = {"app.kubernetes.io/name": name, "fluidmodel.io/s3": "true"}
        meta = {"name": name, "namespace": namespace, "labels": labels}
        # First, as kwok answers 404 for a pod that none of these is for.
        self.api.apply(
            {
                "apiVersion": "kwok.x-k8s.io/v1alpha1",
                "kind": "PortForward",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {
                    "forwards": [
                        {
                            "ports": [self.port],
                            "target": {"address": "127.0.0.1", "port": self.port},
                        }
                    ]
                },
            }
        )
        self.api.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": dict(meta),
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    # One that no test takes away, nor its kubelet.
                    "nodeName": fleet.FIRST,
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [
                        {
                            "name": "s3",
                            "image": "versity/versitygw:v1",
                            "ports": [{"name": "s3", "containerPort": self.port}],
                        }
                    ],
                },
            }
        )
        self.api.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": dict(meta),
                "spec": {
                    "selector": labels,
                    "ports": [{"name": "s3", "port": self.port, "targetPort": self.port}],
                },
            }
        )
        add_host(self.state, name, namespace)
        return f"http://{name}.{namespace}.svc:{self.port}"


def add_host(state: Path, service: str, namespace: str) -> None:
    """Let pods that run for real resolve a Service to loopback."""
    base = f"{service}.{namespace}"
    line = f"127.0.0.1 {base} {base}.svc {base}.svc.cluster.local\n"
    path = state / "hosts"
    with locked(state / ".hosts.lock"):
        # Written in place: sandboxes have this very file bound over their own.
        if line not in path.read_text():
            with path.open("a") as out:
                out.write(line)


def secret(namespace: str, name: str, values: dict[str, str]) -> dict[str, Any]:
    """A Secret object."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }
