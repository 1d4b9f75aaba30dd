"""Lists the objects below a prefix of a bucket, and reads ranges of them."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model import hub_cache
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from kubectl_fluidmodel.model.sample import RangeReader, RangeReadError
from kubectl_fluidmodel.objectstore.error_codes import NotS3StoreError
from kubectl_fluidmodel.objectstore.s3 import S3Store, require_endpoint_without_bucket
from kubectl_fluidmodel.objectstore.s3_errors import translate_errors
from kubectl_fluidmodel.output.shell import Operand, command

_MAX_OBJECTS = 200_000
"""Maximum number of objects: a prefix with more is not a model."""


def list_prefix(store: S3Store, bucket: str, prefix: str) -> FileListing:
    """List every object below a prefix of a bucket, with paths relative to it.

    Raises:
        FluidModelError: the bucket is missing or forbidden, or the prefix is empty.
        UnreachableError: the endpoint does not respond.
    """
    uri = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
    require_endpoint_without_bucket(store, bucket)
    client = store.client()
    start = f"{prefix}/" if prefix else ""
    files: list[SourceFile] = []
    with translate_errors(store, f"cannot list {uri}", bucket):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start)
        for page in pages:
            for entry in page.get("Contents") or []:
                key = str(entry["Key"])
                if not key.endswith("/"):  # consoles create empty objects for directories
                    files.append(SourceFile(key[len(start) :], int(entry["Size"])))
            if len(files) > _MAX_OBJECTS:
                raise FluidModelError(
                    f"{uri} holds more than {_MAX_OBJECTS} objects",
                    "that is more than one model",
                    "name the model's own prefix",
                )
    if not files:
        with translate_errors(store, f"cannot list {uri}", bucket):
            if prefix and _is_object(client, bucket, prefix):
                folder = f"s3://{bucket}/{prefix.rpartition('/')[0]}".rstrip("/")
                raise FluidModelError(
                    f"{uri} is not a model",
                    "it is one object, not a directory of files",
                    command("kubectl", "fluidmodel", "cache", Operand(folder)),
                )
            snapshot_prefix, model = find_lost_snapshot(client, bucket, prefix)
        if snapshot_prefix:
            to = ["--to", f"s3://{bucket}"]
            to += ["--endpoint", store.endpoint] if store.endpoint else []
            hint = command("kubectl", "fluidmodel", "cache", Operand(model), *to)
            raise FluidModelError(f"{uri} is empty", snapshot_prefix, hint if model else "")
        raise FluidModelError(f"{uri} is empty", _nearest_content(store, client, bucket, prefix))
    return FileListing(tuple(sorted(files)))


def range_reader(store: S3Store, bucket: str, prefix: str) -> RangeReader:
    """Return a function that reads a range of an object below a prefix."""
    from botocore import exceptions as boto
    from urllib3.exceptions import HTTPError

    start = f"{prefix}/" if prefix else ""
    client = store.client(
        connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2}
    )

    def fetch(path: str, first: int, count: int) -> bytes:
        try:
            response = client.get_object(
                Bucket=bucket, Key=start + path, Range=f"bytes={first}-{first + count - 1}"
            )
            with response["Body"] as body:
                if first and not response.get("ContentRange"):
                    raise RangeReadError("the store does not support range requests")
                return bytes(body.read(count))
        except boto.ClientError as err:
            error = err.response.get("Error", {})
            raise RangeReadError(str(error.get("Code") or "refused")) from err
        except (boto.BotoCoreError, NotS3StoreError, OSError, HTTPError) as err:
            raise RangeReadError(" ".join(str(err).split())[:120]) from err

    return fetch


def find_lost_snapshot(client: Any, bucket: str, prefix: str) -> tuple[str, str]:
    """Recognize an empty prefix as a snapshot of a Hub cache without its links.

    Returns:
        A description, and `repo@commit` of its model; both empty if it is something else.
    """
    snapshot = hub_cache.parse_snapshot_path(prefix)
    if snapshot is None:
        return "", ""
    top, repo, commit = snapshot
    blobs = f"{top}/blobs/".lstrip("/")
    if not client.list_objects_v2(Bucket=bucket, Prefix=blobs, MaxKeys=1).get("Contents"):
        return "", ""
    description = f"it is a snapshot of the Hub client's cache without its links to {blobs}"
    return description, f"{repo}@{commit}" if repo else ""


def _is_object(client: Any, bucket: str, key: str) -> bool:
    page = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    return any(entry["Key"] == key for entry in page.get("Contents") or [])


def _nearest_content(store: S3Store, client: Any, bucket: str, prefix: str) -> str:
    """Describe the nearest parent of an empty prefix that has objects."""
    with translate_errors(store, f"cannot list s3://{bucket}", bucket):
        parent = prefix
        while True:
            parent = parent.rpartition("/")[0]
            start = f"{parent}/" if parent else ""
            page = client.list_objects_v2(Bucket=bucket, Prefix=start, Delimiter="/", MaxKeys=50)
            below = [str(entry["Prefix"])[:-1] for entry in page.get("CommonPrefixes") or []]
            if below or page.get("Contents"):
                uris = ", ".join(f"s3://{bucket}/{name}" for name in below[:5])
                return (
                    f"s3://{bucket}/{parent} has {uris}" if uris else "there is no object below it"
                )
            if not parent:
                return "the bucket has no objects at all"
