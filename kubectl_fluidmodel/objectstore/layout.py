"""Where things go in the bucket. Pure.

PREFIX/org/model/COMMIT/…                              the files: this is what is mounted
PREFIX/org/model/.fluidmodel/COMMIT/manifest.json      the mark that all of them are there
PREFIX/org/model/.fluidmodel/COMMIT/uploads/HASH.json  one record per unfinished upload
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.model.source import Source, parse_source
from kubectl_fluidmodel.model.suggestions import suggest_source
from kubectl_fluidmodel.output.shell import quote

STATE_DIR = ".fluidmodel"


@dataclass(frozen=True)
class BucketPrefix:
    """A bucket and a prefix of it, without slashes around."""

    bucket: str
    prefix: str = ""

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


@dataclass(frozen=True)
class StagingLayout:
    """Where one commit of one model goes."""

    destination: BucketPrefix
    repo: str
    commit: str

    @property
    def model_prefix(self) -> str:
        """Prefix of the model with all its commits."""
        return f"{self.destination.prefix}/{self.repo}".lstrip("/")

    @property
    def files_prefix(self) -> str:
        """Prefix of the files."""
        return f"{self.model_prefix}/{self.commit}"

    @property
    def uri(self) -> str:
        """SOURCE of a cache of it."""
        return f"s3://{self.destination.bucket}/{self.files_prefix}"

    @property
    def source(self) -> Source:
        return Source("s3", self.destination.bucket, self.files_prefix)

    @property
    def manifest_key(self) -> str:
        """Key of the manifest."""
        return f"{self.model_prefix}/{STATE_DIR}/{self.commit}/manifest.json"

    @property
    def checkpoints_prefix(self) -> str:
        """Prefix of the records of unfinished uploads, with its slash."""
        return f"{self.model_prefix}/{STATE_DIR}/{self.commit}/uploads/"

    def object_key(self, path: str) -> str:
        """Key of a file."""
        return f"{self.files_prefix}/{path}"

    def checkpoint_key(self, path: str) -> str:
        """Key of a file's record; the path is hashed, for it may be longer than what is left."""
        return f"{self.checkpoints_prefix}{hashlib.sha256(path.encode()).hexdigest()[:40]}.json"


def parse_bucket_prefix(text: str) -> BucketPrefix:
    """Read `--to s3://bucket[/prefix]`.

    Raises:
        UsageError: it is not that.
    """
    if not text.startswith("s3://"):
        raise UsageError(
            f"cannot stage to '{text}'", "it takes a bucket", f"--to {_suggest_destination(text)}"
        )
    try:
        source = parse_source(text)
    except UsageError as err:
        raise UsageError(
            f"cannot stage to '{text}'", err.reason, "--to s3://BUCKET/PREFIX"
        ) from err
    if STATE_DIR in source.path.split("/"):
        raise UsageError(
            f"cannot stage to '{text}'", f"'{STATE_DIR}' is our own place", "another one"
        )
    return BucketPrefix(source.host, source.path)


def _suggest_destination(text: str) -> str:
    """The bucket that a `--to` was probably meant to name."""
    for guess in (suggest_source(text).source, f"s3://{text.strip('/')}"):
        try:
            if guess.startswith("s3://") and parse_source(guess).uri:
                return quote(guess)
        except UsageError:
            continue
    return "s3://BUCKET"
