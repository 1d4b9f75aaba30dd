"""Reads the source of a hand-made cache, with the keys that the cache itself uses."""

from __future__ import annotations

from dataclasses import replace

from kubectl_fluidmodel.cache.adoption.hand_made import HandMadeCache
from kubectl_fluidmodel.cache.adoption.options import AdoptOptions
from kubectl_fluidmodel.cache.mounted_store import mounted_store
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.cache.source_info import SourceInfo, list_s3_source, read_source
from kubectl_fluidmodel.errors import UnreachableError
from kubectl_fluidmodel.fluid import alluxio_runtime
from kubectl_fluidmodel.fluid.mount import MountCredentials, SecretKeys
from kubectl_fluidmodel.fluid.secret import store_secret_name
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.objectstore.s3_credentials import ACCESS_KEY, SECRET_KEY
from kubectl_fluidmodel.stage.credentials import read_store_secret


def read_adopted_source(client: Client, cache: HandMadeCache, options: AdoptOptions) -> SourceInfo:
    """List the source of a hand-made cache, and check it as a model.

    Returns:
        The listing, with paths as in the cache's claim; None if this kind of source cannot be
        listed.

    Raises:
        FluidModelError: the source or its keys cannot be read, or it contains no model.
        UnreachableError: the store does not respond.
    """
    listed_options = cache_options(cache, listed=True)
    try:
        if cache.source.scheme == "s3":
            source = _read_s3(client, cache, options, listed_options)
        elif cache.source.scheme in ("http", "https"):
            source = read_source(listed_options, client, cache.namespace)
        else:
            return read_source(cache_options(cache, listed=False), client, cache.namespace)
    except UnreachableError as err:
        hint = "the same command on a machine that can reach the store"
        raise type(err)(err.message, err.reason, hint) from err
    return replace(source, listing=_in_claim(source.listing, cache.directory))


def cache_options(cache: HandMadeCache, *, listed: bool) -> CacheOptions:
    """Return the options with which `cache` would create it.

    For a source that was not listed, the quota stays.
    """
    quota = alluxio_runtime.parse_tier(cache.runtime)[2] or sizing.GIB
    return CacheOptions(
        source=cache.source,
        name=cache.name,
        replicas=cache.replicas,
        replicas_given=True,
        quota=None if listed else quota,
    )


def _read_s3(
    client: Client, cache: HandMadeCache, options: AdoptOptions, listed_options: CacheOptions
) -> SourceInfo:
    target = cache.target
    if options.s3_secret:
        credentials, _ = read_store_secret(options.s3_secret, client, cache.namespace)
        store = S3Store(target.endpoint, target.region, credentials)
    else:
        store = mounted_store(client, target)
    keys = SecretKeys(store_secret_name(cache.name), ACCESS_KEY, SECRET_KEY)
    listing, notes = list_s3_source(listed_options, store, client, cache.namespace)
    return SourceInfo(MountCredentials(target.endpoint, target.region, keys), listing, None, notes)


def _in_claim(listing: FileListing | None, directory: str) -> FileListing | None:
    """Return a listing with paths as in the claim, for a mount that is not at its root."""
    if listing is None or not directory:
        return listing

    def moved(files: tuple[SourceFile, ...]) -> tuple[SourceFile, ...]:
        return tuple(SourceFile(f"{directory}/{file.path}", file.size) for file in files)

    return FileListing(moved(listing.files), moved(listing.junk))
