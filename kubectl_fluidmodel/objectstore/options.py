"""Options for an S3 store, which `cache` and `stage` share."""

from __future__ import annotations

from kubectl_fluidmodel.output.shell import flags_with_values
from kubectl_fluidmodel.records import dataclass

GCS_ENDPOINT = "https://storage.googleapis.com"
"""Google's S3-compatible XML API; accepts HMAC keys, or no keys for public buckets."""


@dataclass(frozen=True)
class StoreOptions:
    """The endpoint and the credentials; None for those of the AWS configuration."""

    endpoint: str | None = None
    region: str | None = None
    s3_secret: str | None = None
    """Secret in the cluster that holds the keys."""

    @property
    def flags(self) -> list[str]:
        """The flags that set these options, for a command that a user runs next."""
        return flags_with_values(
            ("--endpoint", self.endpoint),
            ("--region", self.region),
            ("--s3-secret", self.s3_secret),
        )
