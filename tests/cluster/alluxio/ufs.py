"""The store under a mount, asked as Alluxio would ask it: S3, a web directory or a local one.

S3 requests are signed by hand, because importing an S3 library takes longer than a listing. What
sends them is imported only when a store is asked: most commands ask none, and importing it takes
several times as long as they do.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit


class File(NamedTuple):
    """One file of the store: path below the mount, bytes, modification time in ms."""

    path: str
    size: int
    modified: int


class UfsError(Exception):
    """The store said no; the text is what Alluxio's shell prints, `CODE:message`."""


def open_ufs(uri: str, options: dict[str, str]) -> Any:
    """The store of a mount point's URI."""
    scheme = uri.split("://", 1)[0] if "://" in uri else "file"
    if scheme in ("s3", "s3a"):
        return S3(uri, options)
    if scheme in ("http", "https"):
        return Web(uri, options)
    if scheme in ("file", "local") or uri.startswith("/"):
        return Local(uri, options)
    raise UfsError(f"No Under File System Factory found for: {uri.rstrip('/')}/")


class S3:
    """A bucket and prefix."""

    def __init__(self, uri: str, options: dict[str, str]) -> None:
        rest = uri.split("://", 1)[1]
        self.bucket, _, prefix = rest.partition("/")
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self.access = options.get("aws.accessKeyId") or options.get("s3a.accessKeyId", "")
        self.secret = options.get("aws.secretKey") or options.get("s3a.secretKey", "")
        self.region = (
            options.get("alluxio.underfs.s3.endpoint.region")
            or options.get("alluxio.underfs.s3.region")
            or "us-east-1"
        )
        endpoint = options.get("alluxio.underfs.s3.endpoint") or (
            f"https://s3.{self.region}.amazonaws.com"
        )
        if "://" not in endpoint:
            endpoint = f"https://{endpoint}"
        parts = urlsplit(endpoint)
        self.secure = parts.scheme == "https"
        host = parts.hostname or "localhost"
        # The SDK addresses buckets by path on bare addresses, whatever it is told.
        by_path = options.get("alluxio.underfs.s3.disable.dns.buckets", "false").lower() == "true"
        by_path = by_path or bool(re.fullmatch(r"[0-9.]+", host))
        self.host = host if by_path else f"{self.bucket}.{host}"
        self.port = parts.port or (443 if self.secure else 80)
        self.base = f"/{self.bucket}" if by_path else ""

    def check(self) -> None:
        """Whether the mount point is there and may be listed."""
        self._get({"list-type": "2", "max-keys": "1", "prefix": self.prefix})

    def check_mount(self) -> None:
        """What is asked before a further mount is made: of a bucket's root nothing, else a HEAD."""
        if not self.prefix:
            return
        try:
            self._get({}, "/" + quote(self.prefix), method="HEAD")
        except UfsError as error:
            if not str(error).startswith("404"):
                raise
        self.check()

    def list(self) -> list[File]:
        found: list[File] = []
        token = ""
        while True:
            query = {"list-type": "2", "max-keys": "1000", "prefix": self.prefix}
            if token:
                query["continuation-token"] = token
            text = self._get(query).decode()
            for item in re.findall(r"<Contents>(.*?)</Contents>", text, re.DOTALL):
                key = _unescape(_tag(item, "Key"))
                relative = key[len(self.prefix) :]
                if relative and not relative.endswith("/"):
                    stamp = _tag(item, "LastModified").split(".")[0].rstrip("Z")
                    when = time.strptime(stamp, "%Y-%m-%dT%H:%M:%S")
                    found.append(File(relative, int(_tag(item, "Size")), _millis(when)))
            token = _unescape(_tag(text, "NextContinuationToken"))
            if not token:
                return found

    def probe(self, path: str) -> None:
        """Read the first byte: a listing may be allowed where reading is not."""
        self._get({}, "/" + quote(self.prefix + path), {"range": "bytes=0-0"})

    def _get(
        self,
        query: dict[str, str],
        path: str = "",
        extra: dict[str, str] | None = None,
        method: str = "GET",
    ) -> bytes:
        from .ufs_http import send, sign

        pairs = sorted(
            f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in query.items()
        )
        text = "&".join(pairs)
        target = (self.base + path) or "/"
        default = 443 if self.secure else 80
        host = self.host if self.port == default else f"{self.host}:{self.port}"
        headers = sign(
            f"{method}\n{target}\n{text}",
            {"host": host, **(extra or {})},
            self.region,
            (self.access, self.secret),
        )
        status, body, reply = send(
            self.secure,
            self.host,
            self.port,
            f"{target}?{text}" if text else target,
            headers,
            method,
        )
        if status in (200, 206) or status == 416:
            return body
        # A HEAD has no body: then the status is all there is.
        code = _tag(body.decode(errors="replace"), "Code") or f"{status} {reply}"
        message = _unescape(_tag(body.decode(errors="replace"), "Message")) or reply
        raise UfsError(f"{code}:{message}")


class Web:
    """A directory that a web server lists as a page of links."""

    def __init__(self, uri: str, options: dict[str, str]) -> None:
        self.root = uri.rstrip("/") + "/"

    def check(self) -> None:
        self._get(self.root)

    check_mount = check

    def probe(self, path: str) -> None:
        self._get(urljoin(self.root, quote(path)), "HEAD")

    def list(self) -> list[File]:
        found: list[File] = []
        waiting, seen = [self.root], {self.root}
        while waiting and len(seen) < 10_000:
            page = waiting.pop()
            _, body = self._get(page)
            for link in re.findall(r'<a\s[^>]*href="([^"]+)"', body.decode(errors="replace"), re.I):
                target = urljoin(page, _unescape(link).split("#")[0].split("?")[0])
                if not target.startswith(page) or target in seen:
                    continue
                seen.add(target)
                if target.endswith("/"):
                    waiting.append(target)
                    continue
                headers, _ = self._get(target, "HEAD")
                when = headers.get("last-modified", "")
                try:
                    stamp = _millis(time.strptime(when, "%a, %d %b %Y %H:%M:%S %Z"))
                except ValueError:
                    stamp = 0
                relative = unquote(target[len(self.root) :])
                found.append(File(relative, int(headers.get("content-length", 0)), stamp))
        return sorted(found, key=lambda file: file.path)

    def _get(self, url: str, method: str = "GET") -> tuple[dict[str, str], bytes]:
        from .ufs_http import send

        parts = urlsplit(url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        headers: dict[str, str] = {}
        status, body, reply = send(
            secure,
            parts.hostname or "",
            port,
            parts.path or "/",
            {"host": parts.netloc},
            method,
            headers,
        )
        if status >= 400:
            raise UfsError(f"java.io.IOException: Failed to fetch {url}: HTTP/1.1 {status} {reply}")
        return headers, body


class Local:
    """A directory of the node, as ``local://`` and ``pvc://`` mounts give it to Alluxio.

    Only the master's sandbox has it at Alluxio's path; other pods ask for the same directory, so
    the agent tells where it really is.
    """

    def __init__(self, uri: str, options: dict[str, str]) -> None:
        self.root = "/" + uri.split("://", 1)[-1].strip("/")
        self.places: dict[str, str] = {}
        for inside, real in json.loads(options.get("fluidmodel.mounts", "{}")).items():
            if inside == self.root or inside.startswith(self.root.rstrip("/") + "/"):
                self.places[inside[len(self.root) :].strip("/")] = real
        if not self.places:
            self.places[""] = self.root

    def check(self) -> None:
        for real in self.places.values():
            if not Path(real).is_dir():
                raise UfsError(f"java.io.IOException: Ufs path {self.root} does not exist")

    check_mount = check

    def probe(self, path: str) -> None:
        for below, real in self.places.items():
            if below and not path.startswith(below + "/"):
                continue
            try:
                with (Path(real) / path[len(below) :].lstrip("/")).open("rb") as handle:
                    handle.read(1)
            except OSError as error:
                raise UfsError(f"java.io.IOException: {path}: {error.strerror}") from error

    def list(self) -> list[File]:
        found: list[File] = []
        for below, real in self.places.items():
            for full in Path(real).rglob("*"):
                if full.is_file():
                    stat = full.stat()
                    relative = str(Path(below) / full.relative_to(real))
                    found.append(File(relative, stat.st_size, int(stat.st_mtime * 1000)))
        return sorted(found, key=lambda file: file.path)


def _millis(when: time.struct_time) -> int:
    from calendar import timegm  # half of what the other imports take

    return timegm(when) * 1000


def _tag(text: str, name: str) -> str:
    found = re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return found.group(1) if found else ""


def _unescape(text: str) -> str:
    for entity, char in (
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", '"'),
        ("&#34;", '"'),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ):
        text = text.replace(entity, char)
    return text
