"""How to reach an S3 store: the flags that `cache` and `stage` share."""

from __future__ import annotations

from dataclasses import dataclass

GCS_ENDPOINT = "https://storage.googleapis.com"
"""Google's S3-compatible XML API; takes HMAC keys, or nothing for public buckets."""


@dataclass(frozen=True)
class StoreOptions:
    """Where the store is, and whose keys are used; None leaves it to the AWS configuration."""

    endpoint: str | None = None
    region: str | None = None
    s3_secret: str | None = None
    """Secret of the cluster that holds the keys."""
