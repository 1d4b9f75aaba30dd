"""The harness's real S3 server by itself: no cluster needed."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import urllib3

from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.objectstore.s3_credentials import S3Credentials
from tests.cluster import binaries
from tests.cluster.process import end_process, free_ports, start_time
from tests.cluster.s3users import Users

ACCESS, SECRET = "FMSTAGINGTESTS", "not-a-secret-of-anybody"


@functools.cache
def program() -> Path:
    """The server's binary, built if the cache does not have it yet.

    Remembered, for the cache lies in the home directory and tests change that.
    """
    server = binaries.S3_SERVER
    return binaries.ensure(programs=(server,))[server.name]


class S3Server:
    """One server on a free port of loopback, with its data in memory where there is a tmpfs."""

    def __init__(self, *flags: str) -> None:
        """`flags` are further ones of go/s3."""
        self._flags = flags
        base = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="fluidmodel-s3-", dir=base))
        self.port = free_ports(1)[0]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None
        self.users: set[str] = set()

    def start(self) -> S3Server:
        for name in ("data", "meta", "iam"):
            (self.folder / name).mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(program()),
                    f"-listen=127.0.0.1:{self.port}",
                    f"-users={self.folder / 'iam'}",
                    f"-metadata={self.folder / 'meta'}",
                    f"-data={self.folder / 'data'}",
                    *self._flags,
                ],
                env={"ROOT_ACCESS_KEY_ID": ACCESS, "ROOT_SECRET_ACCESS_KEY": SECRET},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._started = start_time(self._process.pid) or ""
        http = urllib3.PoolManager(retries=False)
        for _ in range(400):
            try:
                if http.request("GET", f"{self.endpoint}/healthz", timeout=2).status == 200:
                    return self
            except urllib3.exceptions.HTTPError:
                time.sleep(0.05)
        raise RuntimeError(f"no S3 server: {(self.folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """End the server as a crash does; `start` brings it back with its data."""
        if self._process is not None:
            end_process(self._process.pid, self._started, 0)
            self._process.wait(10)
            self._process = None

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cpu(self) -> float:
        """CPU seconds that the server has used since it was started."""
        if self._process is None:
            return 0.0
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def store(self, endpoint: str = "") -> S3Store:
        return S3Store(endpoint or self.endpoint, "us-east-1", S3Credentials(ACCESS, SECRET))

    def user(self, name: str) -> S3Store:
        """A new user, who may do what bucket policies say and nothing else."""
        self.users.add(name)
        secret = f"{SECRET}-{name}"
        Users(self.endpoint, ACCESS, SECRET).create_user(name, secret)
        return S3Store(self.endpoint, "us-east-1", S3Credentials(name, secret))

    def client(self) -> Any:
        if self._client is None:  # making one takes longer than most of what it is used for
            self._client = self.store().client()
        return self._client

    def env(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
