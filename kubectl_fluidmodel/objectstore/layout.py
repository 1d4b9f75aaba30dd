"""Where things go in the bucket. Pure.

PREFIX/org/model/COMMIT/…                              the files: this is what is mounted
PREFIX/org/model/.fluidmodel/COMMIT/manifest.json      the mark that all of them are there
PREFIX/org/model/.fluidmodel/COMMIT/uploads/HASH.json  one record per unfinished upload
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.model.source import Source, parse
from kubectl_fluidmodel.model.suggestions import meant
from kubectl_fluidmodel.output.shell import quote

STATE = ".fluidmodel"


@dataclass(frozen=True)
class Destination:
    """A bucket and a prefix of it, without slashes around."""

    bucket: str
    prefix: str = ""

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


@dataclass(frozen=True)
class Place:
    """Where one commit of one model goes."""

    to: Destination
    repo: str
    commit: str

    @property
    def model(self) -> str:
        """Prefix of the model with all its commits."""
        return f"{self.to.prefix}/{self.repo}".lstrip("/")

    @property
    def files(self) -> str:
        """Prefix of the files."""
        return f"{self.model}/{self.commit}"

    @property
    def uri(self) -> str:
        """SOURCE of a cache of it."""
        return f"s3://{self.to.bucket}/{self.files}"

    @property
    def source(self) -> Source:
        return Source("s3", self.to.bucket, self.files)

    @property
    def manifest(self) -> str:
        """Key of the manifest."""
        return f"{self.model}/{STATE}/{self.commit}/manifest.json"

    @property
    def uploads(self) -> str:
        """Prefix of the records of unfinished uploads, with its slash."""
        return f"{self.model}/{STATE}/{self.commit}/uploads/"

    def key(self, path: str) -> str:
        """Key of a file."""
        return f"{self.files}/{path}"

    def record(self, path: str) -> str:
        """Key of a file's record; the path is hashed, for it may be longer than what is left."""
        return f"{self.uploads}{hashlib.sha256(path.encode()).hexdigest()[:40]}.json"


def destination(text: str) -> Destination:
    """Read `--to s3://bucket[/prefix]`.

    Raises:
        UsageError: it is not that.
    """
    if not text.startswith("s3://"):
        raise UsageError(f"cannot stage to '{text}'", "it takes a bucket", f"--to {_meant(text)}")
    try:
        source = parse(text)
    except UsageError as err:
        raise UsageError(f"cannot stage to '{text}'", err.why, "--to s3://BUCKET/PREFIX") from err
    if STATE in source.path.split("/"):
        raise UsageError(f"cannot stage to '{text}'", f"'{STATE}' is our own place", "another one")
    return Destination(source.host, source.path)


def _meant(text: str) -> str:
    """The bucket that a `--to` was probably meant to name."""
    for guess in (meant(text).source, f"s3://{text.strip('/')}"):
        try:
            if guess.startswith("s3://") and parse(guess).uri:
                return quote(guess)
        except UsageError:
            continue
    return "s3://BUCKET"
