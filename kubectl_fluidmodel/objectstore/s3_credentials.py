"""S3 credentials: their source, their expiry, and their key names in Secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timezone
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.output.shell import Operand, kubectl
from kubectl_fluidmodel.records import dataclass

ACCESS_KEY = "AWS_ACCESS_KEY_ID"
SECRET_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a key, not a key
SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105

KEY_NAME_PAIRS = (
    (ACCESS_KEY, SECRET_KEY),
    ("aws.accessKeyId", "aws.secretKey"),
    ("accesskey", "secretkey"),
    ("accessKey", "secretKey"),
    ("access-key", "secret-key"),
    ("root-user", "root-password"),
    ("rootUser", "rootPassword"),
)
"""Names of the two keys in Secrets: ours, Alluxio's, MinIO's."""
TOKEN_NAMES = (SESSION_TOKEN, "aws.sessionToken", "sessionToken", "session-token", "session_token")
"""Names of the session token of temporary keys in Secrets."""


@dataclass(frozen=True)
class S3Credentials:
    """S3 keys. They never appear in a repr."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    session: Any = field(default=None, repr=False, compare=False)
    """The boto3 session of the keys, which can find newer ones; None for keys of a Secret or of
    environment variables."""
    auto_renews: bool = field(default=False, compare=False)
    """Whether that session renews them before they expire."""
    expires_at: datetime | None = field(default=None, compare=False)
    """When they expire, if that is known and they are not renewed."""

    @property
    def will_expire(self) -> bool:
        """Whether they may expire while they are still in use."""
        return bool(self.session_token or self.expires_at) and not self.auto_renews

    @property
    def short_lived(self) -> bool:
        """Whether a copy of them expires: it has a session token, or needs one.

        AWS gives IDs of temporary keys a prefix (IAM User Guide, "Unique identifiers").
        """
        return bool(self.session_token) or self.access_key.startswith(
            error_codes.TEMPORARY_KEY_PREFIX
        )

    def secret_data(self) -> dict[str, str]:
        """The data of a Secret with these keys."""
        data = {ACCESS_KEY: self.access_key, SECRET_KEY: self.secret_key}
        return {**data, SESSION_TOKEN: self.session_token} if self.session_token else data


def expiry_warning(credentials: S3Credentials | None, now: datetime | None = None) -> str:
    """A warning about credentials that expire and are not renewed; empty for all others."""
    if credentials is None or not credentials.will_expire:
        return ""
    after = "after that, log in and run the same command again to continue"
    if credentials.expires_at is None:
        return f"the S3 credentials are temporary, and nothing renews them; {after}"
    seconds = (credentials.expires_at - (now or datetime.now(timezone.utc))).total_seconds()
    at = credentials.expires_at.astimezone(timezone.utc)
    return (
        f"the S3 credentials expire in {max(0, int(seconds // 60))} min ({at:%H:%M} UTC), and "
        f"nothing renews them; {after}"
    )


def expiration_from_environment() -> datetime | None:
    """Return when the keys of environment variables expire; None if that is not set.

    `aws configure export-credentials` and others set AWS_CREDENTIAL_EXPIRATION with the keys.

    Raises:
        UsageError: it is not a time.
    """
    text = os.environ.get("AWS_CREDENTIAL_EXPIRATION", "")
    if not text:
        return None
    try:
        expires_at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as err:
        message = f"AWS_CREDENTIAL_EXPIRATION is not a time: '{text}'"
        raise UsageError(message, "expected a form like 2026-01-31T12:00:00Z", "unset it") from err
    return expires_at if expires_at.tzinfo else expires_at.replace(tzinfo=timezone.utc)


def find_key_names(keys: Mapping[str, Any], secret: str) -> tuple[str, str]:
    """Return the names of the access key and the secret key in a Secret's data.

    Raises:
        FluidModelError: none of the known pairs exists.
    """
    for access, hidden in KEY_NAME_PAIRS:
        if access in keys and hidden in keys:
            return access, hidden
    have = ", ".join(sorted(keys)) or "nothing"
    raise FluidModelError(
        f"Secret {secret} has no S3 keys",
        f"expected {ACCESS_KEY} and {SECRET_KEY}, found {have}",
        kubectl(
            *("create", "secret", "generic", Operand(secret)),
            *(f"--from-literal={name}=…" for name in (ACCESS_KEY, SECRET_KEY)),
        ),
    )


def require_session_token(
    keys: S3Credentials | None, owner: str = "", *, with_token: bool = False
) -> None:
    """Require the session token of temporary keys, before any request.

    Args:
        keys: The keys to check, if any.
        owner: Whose keys they are, for the message.
        with_token: Whether temporary keys with a token are allowed here.

    Raises:
        FluidModelError: the token is missing, so every store would reject the keys.
    """
    if keys is None or not error_codes.lacks_token(keys.access_key, keys.session_token):
        return
    raise FluidModelError(
        f"the S3 access key{owner} is temporary",
        f"it starts with {error_codes.TEMPORARY_KEY_PREFIX}, and no store accepts it without its "
        "session token, which is missing",
        f"export {SESSION_TOKEN}=… too, or use a permanent key"
        if with_token
        else f"export {ACCESS_KEY}=AKIA… {SECRET_KEY}=… of a permanent key, or --s3-secret NAME",
    )
