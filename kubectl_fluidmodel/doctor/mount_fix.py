"""The command that corrects a Dataset's mounts. Pure.

Several checks evaluate the mounts: whether they are at the root, whether keys are in plain text,
and whether workers read the keys. All print the same command, so the user can follow any of them.
"""

from __future__ import annotations

from kubectl_fluidmodel.doctor import cache_commands, fix_commands
from kubectl_fluidmodel.doctor.check import CheckContext, Fix
from kubectl_fluidmodel.fluid import mount, names
from kubectl_fluidmodel.fluid.secret import STORE_SUFFIX
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.mount_target import plaintext_keys
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list, get_map, get_path
from kubectl_fluidmodel.output.shell import chain


def should_mount_at_root(cache: Cache) -> bool:
    """Whether a cache's only mount is not at the root, and no pod relies on that."""
    mounts = get_list(cache.dataset, "spec", "mounts")
    if len(mounts) != 1 or cache.runtime is None or cache.refers_to is not None:
        return False
    folder = mount.claim_directory(mounts[0])
    if not folder or str(mounts[0].get("mountPoint", "")).startswith("dataset://"):
        return False
    return not readers_mount_only(cache, [folder])


def readers_mount_only(cache: Cache, folders: list[str]) -> bool:
    """Whether all pods that read a cache mount these folders, not its root."""
    return bool(cache.readers) and all(
        _mounts_only(reader.pod, cache.name, folders) for reader in cache.readers
    )


def _mounts_only(pod: Object, claim: str, folders: list[str]) -> bool:
    volumes = {
        volume.get("name")
        for volume in get_list(pod, "spec", "volumes")
        if get_path(volume, "persistentVolumeClaim", "claimName") == claim
    }
    paths = [
        str(volume_mount.get("subPath", "")).strip("/")
        for container in get_list(pod, "spec", "containers")
        for volume_mount in get_list(container, "volumeMounts")
        if volume_mount.get("name") in volumes
    ]
    return bool(paths) and all(
        any(path == folder or path.startswith(f"{folder}/") for folder in folders) for path in paths
    )


def mount_fix(context: CheckContext) -> Fix:
    """Mount a cache's only source at the root, and take the keys from a Secret.

    A cache of ours is recreated from its flags. Any other Dataset is patched, and its runtime
    recreated, because Fluid reads the mounts only then.
    """
    cache = context.cache
    dataset = cache.dataset or {}
    if names.has_own_spec(dataset):
        return Fix(cache_commands.recreate_cache(cache))
    change, hidden = _mount_patch(cache)
    steps = [fix_commands.patch_object(dataset, change)]
    if cache.runtime is not None:
        steps.append(fix_commands.recreate_runtime(cache))
    if hidden:
        name = cache.name + STORE_SUFFIX
        exists = context.snapshot.get(kinds.SECRETS, name, cache.namespace) is not None
        steps.insert(0, fix_commands.set_secret_keys(cache.namespace, name, hidden, exists=exists))
    return Fix(chain(*steps))


def _mount_patch(cache: Cache) -> tuple[Object, list[str]]:
    """The merge patch of a Dataset's spec, and the keys that the Secret needs."""
    spec = get_map(cache.dataset, "spec")
    secret = cache.name + STORE_SUFFIX
    mounts = [dict(mount_entry) for mount_entry in get_list(spec, "mounts")]
    if should_mount_at_root(cache):
        mounts[0]["path"] = "/"
    root = mount.root_mount(mounts) is not None
    hidden: list[str] = []

    def hide_keys(plain: list[str], encrypted: list[Object]) -> list[Object]:
        """The encryptOptions, with those for keys that are in plain text."""
        hidden.extend(plain)
        entries = [
            {**entry, "name": mount.credential_option(str(entry.get("name")), root=root)}
            for entry in encrypted
        ]
        taken = {entry["name"] for entry in entries}
        added = [mount.encrypt_option(key, secret, key, root=root) for key in plain]
        return entries + [entry for entry in added if entry["name"] not in taken]

    for mount_entry in mounts:
        plain = plaintext_keys(mount_entry.get("options"))
        encrypted = hide_keys(plain, get_list(mount_entry, "encryptOptions"))
        if encrypted:
            mount_entry["encryptOptions"] = encrypted
        if plain:
            mount_entry["options"] = {
                n: v for n, v in mount_entry["options"].items() if n not in plain
            }
    change: Object = {"mounts": mounts}
    plain = plaintext_keys(spec.get("sharedOptions"))
    encrypted = hide_keys(plain, get_list(spec, "sharedEncryptOptions"))
    if encrypted:
        change["sharedEncryptOptions"] = encrypted
    if plain:
        change["sharedOptions"] = dict.fromkeys(plain)
    return {"spec": change}, hidden
