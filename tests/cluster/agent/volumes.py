"""Lay out a pod's volumes as directories, as a kubelet does before it starts a container."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

from ..api import Api, ApiError, Object


class NotMountable(Exception):
    """A volume cannot be set up (yet); the text is what a kubelet's event says."""


class Volumes:
    """The volumes of one pod, below ``directory``."""

    def __init__(self, api: Api, state: Path, pod: Object, directory: Path) -> None:
        self.api, self.state, self.pod, self.directory = api, state, pod, directory
        self.namespace: str = pod["metadata"]["namespace"]

    def lay_out(self) -> dict[str, Path]:
        """Each volume's directory by its name; raises NotMountable."""
        found: dict[str, Path] = {}
        for volume in self.pod["spec"].get("volumes") or []:
            name = volume["name"]
            try:
                found[name] = self._one(name, volume)
            except NotMountable as error:
                raise NotMountable(f'MountVolume.SetUp failed for volume "{name}" : {error}') from (
                    error
                )
        return found

    def refresh(self) -> None:
        """Bring ConfigMap and Secret volumes up to date, as a kubelet does every minute."""
        for volume in self.pod["spec"].get("volumes") or []:
            if "configMap" in volume or "secret" in volume:
                self._one(volume["name"], volume)

    def _one(self, name: str, volume: Object) -> Path:
        place = self.directory / name
        if "configMap" in volume:
            self._write(place, self._config_map(volume["configMap"]), volume["configMap"])
        elif "secret" in volume:
            self._write(place, self._secret(volume["secret"]), volume["secret"])
        elif "projected" in volume:
            self._projected(place, volume["projected"])
        elif "downwardAPI" in volume:
            self._write(place, self._downward(volume["downwardAPI"]), {})
        elif "hostPath" in volume:
            return self._host(volume["hostPath"]["path"])
        elif "persistentVolumeClaim" in volume:
            return self._claim(volume["persistentVolumeClaim"]["claimName"])
        else:
            place.mkdir(parents=True, exist_ok=True)
        return place

    def _config_map(self, source: Object) -> dict[str, bytes]:
        found = self.api.find("v1", "ConfigMap", source["name"], self.namespace)
        if found is None:
            if source.get("optional"):
                return {}
            raise NotMountable(f'configmap "{source["name"]}" not found')
        data = {key: value.encode() for key, value in (found.get("data") or {}).items()}
        for key, value in (found.get("binaryData") or {}).items():
            data[key] = base64.b64decode(value)
        return self._items(data, source)

    def _secret(self, source: Object) -> dict[str, bytes]:
        name = source.get("secretName") or source["name"]
        found = self.api.find("v1", "Secret", name, self.namespace)
        if found is None:
            if source.get("optional"):
                return {}
            raise NotMountable(f'secret "{name}" not found')
        data = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
        return self._items(data, source)

    @staticmethod
    def _items(data: dict[str, bytes], source: Object) -> dict[str, bytes]:
        if not source.get("items"):
            return data
        chosen: dict[str, bytes] = {}
        for item in source["items"]:
            if item["key"] in data:
                chosen[item["path"]] = data[item["key"]]
            elif not source.get("optional"):
                raise NotMountable(f"references non-existent secret key: {item['key']}")
        return chosen

    def _downward(self, source: Object) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        for item in source.get("items") or []:
            files[item["path"]] = field(self.pod, item["fieldRef"]["fieldPath"]).encode()
        return files

    def _projected(self, place: Path, source: Object) -> None:
        files: dict[str, bytes] = {}
        for each in source.get("sources") or []:
            if "serviceAccountToken" in each:
                wanted = each["serviceAccountToken"]
                files[wanted["path"]] = self._token(wanted).encode()
            elif "configMap" in each:
                files.update(self._config_map(each["configMap"]))
            elif "secret" in each:
                files.update(self._secret(each["secret"]))
            elif "downwardAPI" in each:
                files.update(self._downward(each["downwardAPI"]))
        self._write(place, files, source)

    def _token(self, wanted: Object) -> str:
        account = self.pod["spec"].get("serviceAccountName") or "default"
        meta = self.pod["metadata"]
        spec: Object = {
            "expirationSeconds": 3607,
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": meta["name"],
                "uid": meta["uid"],
            },
        }
        if wanted.get("audience"):
            spec["audiences"] = [wanted["audience"]]
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        try:
            return str(self.api.request("POST", path, body)["status"]["token"])
        except ApiError as error:
            raise NotMountable(f"failed to fetch token: {error.message}") from error

    def _host(self, path: str) -> Path:
        """A directory of this machine when it is there, else one of the state's own."""
        real = Path(path)
        if real.exists() and path not in ("/dev/shm", "/etc/localtime"):
            return real
        mine = self.state / "hostpath" / path.strip("/")
        mine.mkdir(parents=True, exist_ok=True)
        return mine

    def _claim(self, claim: str) -> Path:
        found = self.api.find("v1", "PersistentVolumeClaim", claim, self.namespace)
        if found is None:
            raise NotMountable(f'persistentvolumeclaim "{claim}" not found')
        volume = found["spec"].get("volumeName")
        spec: Object = {}
        if volume:
            spec = (self.api.find("v1", "PersistentVolume", volume) or {}).get("spec", {})
        path = (spec.get("hostPath") or spec.get("local") or {}).get("path")
        if path:
            return self._host(path)
        mine = self.state / "pvc" / self.namespace / claim
        mine.mkdir(parents=True, exist_ok=True)
        return mine

    @staticmethod
    def _write(place: Path, files: dict[str, bytes], source: Object) -> None:
        modes = {
            item["path"]: item["mode"]
            for item in source.get("items") or []
            if item.get("mode") is not None
        }
        default = source.get("defaultMode", 0o644)
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            if old.name not in {name.split("/")[0] for name in files}:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        for name, content in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.new")
            temporary.touch(mode=0o600)
            temporary.write_bytes(content)
            temporary.chmod(modes.get(name, default))
            temporary.replace(path)


def field(pod: Object, path: str) -> str:
    """A field of the pod by its downward API path."""
    if path.startswith(("metadata.labels['", "metadata.annotations['")):
        section, _, rest = path.removeprefix("metadata.").partition("['")
        return str((pod["metadata"].get(section) or {}).get(rest.removesuffix("']"), ""))
    value: Any = pod
    for part in path.split("."):
        value = (value or {}).get(part)
    if isinstance(value, dict):
        return "\n".join(f'{key}="{each}"' for key, each in sorted(value.items()))
    return json.dumps(value) if isinstance(value, list) else str(value or "")
