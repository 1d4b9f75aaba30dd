"""Users of an S3 server, by versitygw's admin API."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION = "us-east-1"


class Users:
    """The users of one server, as its root user makes them."""

    def __init__(self, endpoint: str, access_key: str, secret_key: str) -> None:
        self.endpoint, self.access_key, self.secret_key = endpoint, access_key, secret_key

    def create_user(self, access_key: str, secret_key: str, role: str = "user") -> None:
        """Create a user.

        A ``user`` has no rights until a policy grants some, a ``userplus`` may create buckets,
        and an ``admin`` may do everything.
        """
        keys = f"<Access>{escape(access_key)}</Access><Secret>{escape(secret_key)}</Secret>"
        ids = "<UserID>0</UserID><GroupID>0</GroupID>"
        self._ask("create-user", {}, f"<Account>{keys}<Role>{role}</Role>{ids}</Account>")

    def delete_user(self, access_key: str) -> None:
        self._ask("delete-user", {"access": access_key})

    def rotate(self, access_key: str, secret_key: str) -> None:
        """Give a user another secret key."""
        props = f"<MutableProps><Secret>{escape(secret_key)}</Secret></MutableProps>"
        self._ask("update-user", {"access": access_key}, props)

    def _ask(self, action: str, query: Mapping[str, str], body: str = "") -> None:
        url = f"{self.endpoint}/{action}" + (f"?{urlencode(query)}" if query else "")
        data = body.encode()
        request = AWSRequest("PATCH", url, data=data)
        request.headers["X-Amz-Content-Sha256"] = hashlib.sha256(data).hexdigest()
        SigV4Auth(Credentials(self.access_key, self.secret_key), "s3", REGION).add_auth(request)
        answer = urllib3.PoolManager(retries=False).request(
            "PATCH", url, body=data, headers=dict(request.headers.items()), timeout=10
        )
        if answer.status >= 300:
            said = answer.data.decode(errors="replace")[:500]
            raise RuntimeError(f"{action}: {answer.status} {said}")
