"""Keys of a staged model in its bucket. Pure.

PREFIX/org/model/COMMIT/…                              the model's files, which are mounted
PREFIX/org/model/.fluidmodel/COMMIT/manifest.json      marks the commit as complete
PREFIX/org/model/.fluidmodel/COMMIT/uploads/HASH.json  one checkpoint per unfinished upload
PREFIX/org/model/.fluidmodel/COMMIT/removing.json      the manifest, while the commit is removed
"""

from __future__ import annotations

import hashlib

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.model.source import Source, parse_source
from kubectl_fluidmodel.model.suggestions import suggest_source
from kubectl_fluidmodel.output.shell import command
from kubectl_fluidmodel.records import dataclass

STATE_DIR = ".fluidmodel"


@dataclass(frozen=True)
class BucketPrefix:
    """A bucket and a prefix in it, without leading and trailing slashes."""

    bucket: str
    prefix: str = ""

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


@dataclass(frozen=True)
class StagingLayout:
    """The keys of one commit of one model."""

    destination: BucketPrefix
    repo: str
    commit: str

    @property
    def model_prefix(self) -> str:
        """Prefix of all commits of the model."""
        return f"{self.destination.prefix}/{self.repo}".lstrip("/")

    @property
    def files_prefix(self) -> str:
        """Prefix of the commit's files."""
        return f"{self.model_prefix}/{self.commit}"

    @property
    def uri(self) -> str:
        """The SOURCE for a cache of the commit."""
        return f"s3://{self.destination.bucket}/{self.files_prefix}"

    @property
    def source(self) -> Source:
        return Source("s3", self.destination.bucket, self.files_prefix)

    @property
    def manifest_key(self) -> str:
        return f"{self.model_prefix}/{STATE_DIR}/{self.commit}/manifest.json"

    @property
    def removal_key(self) -> str:
        """Key of what the manifest becomes while the commit is removed."""
        return f"{self.model_prefix}/{STATE_DIR}/{self.commit}/removing.json"

    @property
    def checkpoints_prefix(self) -> str:
        """Prefix of the checkpoints of unfinished uploads, with a trailing slash."""
        return f"{self.model_prefix}/{STATE_DIR}/{self.commit}/uploads/"

    def object_key(self, path: str) -> str:
        """Key of a file's object."""
        return f"{self.files_prefix}/{path}"

    def checkpoint_key(self, path: str) -> str:
        """Key of a file's checkpoint, with a hash of the path, which may be too long for a key."""
        return f"{self.checkpoints_prefix}{hashlib.sha256(path.encode()).hexdigest()[:40]}.json"


def layout_of_state_key(bucket: str, key: str) -> tuple[StagingLayout, str] | None:
    """The commit that a key below `.fluidmodel` belongs to, and the rest of the key.

    Returns:
        None for a key that is none of ours.
    """
    before, separator, after = key.partition(f"/{STATE_DIR}/")
    *prefix, organization, model = ["", "", *before.split("/")]
    commit, slash, rest = after.partition("/")
    if not (separator and slash and organization and model and commit):
        return None
    destination = BucketPrefix(bucket, "/".join(part for part in prefix if part))
    return StagingLayout(destination, f"{organization}/{model}", commit), rest


def parse_bucket_prefix(text: str, flag: str = "--to") -> BucketPrefix:
    """Parse the value of `--to` or `--from`, `s3://BUCKET[/PREFIX]`.

    Raises:
        UsageError: it has another form.
    """
    message = f"cannot {'stage to' if flag == '--to' else 'look into'} '{text}'"
    if not text.startswith("s3://"):
        raise UsageError(
            message, "it is not an S3 bucket", command(flag, _suggest_destination(text))
        )
    try:
        source = parse_source(text)
    except UsageError as err:
        raise UsageError(message, err.reason, f"{flag} s3://BUCKET/PREFIX") from err
    if STATE_DIR in source.path.split("/"):
        raise UsageError(message, f"'{STATE_DIR}' is reserved for checkpoints", "another prefix")
    return BucketPrefix(source.host, source.path)


def _suggest_destination(text: str) -> str:
    """Suggest the bucket that the user probably meant."""
    for guess in (suggest_source(text).source, f"s3://{text.strip('/')}"):
        try:
            if guess.startswith("s3://") and parse_source(guess).uri:
                return guess
        except UsageError:
            continue
    return "s3://BUCKET"
