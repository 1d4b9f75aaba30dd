"""Run a command in a container, as `kubectl exec` does."""

from __future__ import annotations

import json
import time

from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError, KubeError
from kubectl_fluidmodel.kube.websocket import connect
from kubectl_fluidmodel.objects.access import get_path
from kubectl_fluidmodel.objects.kinds import PODS
from kubectl_fluidmodel.records import dataclass

_STDOUT, _STDERR, _STATUS = 1, 2, 3
"""Channels of the protocol v4.channel.k8s.io: the first byte of each frame."""


@dataclass(frozen=True)
class ExecResult:
    """What a command printed, and how it ended."""

    exit_code: int
    stdout: str
    stderr: str


def exec_command(
    client: Client,
    namespace: str,
    pod: str,
    container: str,
    command: list[str],
    *,
    timeout: float = 60.0,
) -> ExecResult:
    """Run `command` and wait at most `timeout` seconds for its end.

    Raises:
        KubeError: the API server or the kubelet refused.
        ClusterUnreachableError: the connection broke, or time ran out.
    """
    import websocket

    action = f"cannot run {command[0]} in pod {pod}"
    query = [("command", word) for word in command]
    query += [("container", container), ("stdout", "true"), ("stderr", "true")]
    socket = connect(
        client,
        PODS.path(namespace, pod, "exec"),
        query,
        protocols=["v5.channel.k8s.io", "v4.channel.k8s.io"],
        action=action,
        timeout=timeout,
    )
    channels: dict[int, bytearray] = {}
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            socket.settimeout(max(0.1, deadline - time.monotonic()))
            opcode, frame = socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                break
            if frame:
                channels.setdefault(frame[0], bytearray()).extend(frame[1:])
                if frame[0] == _STATUS:
                    break
        else:
            raise ClusterUnreachableError(action, f"no response within {timeout:.0f} seconds")
    except websocket.WebSocketTimeoutException as err:
        raise ClusterUnreachableError(action, f"no response within {timeout:.0f} seconds") from err
    except (websocket.WebSocketException, OSError) as err:
        raise ClusterUnreachableError(action, " ".join(str(err).split())[:200]) from err
    finally:
        socket.close(timeout=0.2)  # the response is complete: do not wait for the close frame
    return ExecResult(
        exit_code=_exit_code(bytes(channels.get(_STATUS, b"")), action),
        stdout=channels.get(_STDOUT, bytearray()).decode("utf-8", "replace"),
        stderr=channels.get(_STDERR, bytearray()).decode("utf-8", "replace"),
    )


def _exit_code(status: bytes, action: str) -> int:
    """The exit code in the metav1.Status that ends an exec stream."""
    try:
        parsed = json.loads(status) if status else {}
    except ValueError:
        parsed = {}
    if parsed.get("status") == "Success":
        return 0
    for cause in get_path(parsed, "details", "causes", default=[]):
        if cause.get("reason") == "ExitCode":
            return int(cause.get("message") or 1)
    raise KubeError(action, str(parsed.get("message") or "the stream ended early"), status=500)
