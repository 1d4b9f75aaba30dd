"""The workflow of `prune`: reads buckets and cluster, lists leftovers, removes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import field

import click

from kubectl_fluidmodel.cache.hints import RBAC_DOCS
from kubectl_fluidmodel.cache.mounted_store import mounted_store
from kubectl_fluidmodel.cache.source_info import reachable_store
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.mount_target import mount_targets
from kubectl_fluidmodel.inventory.staging_status import staging_layout
from kubectl_fluidmodel.kube import permissions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objectstore.layout import BucketPrefix
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.output.console import print_note, print_warning, terminal_width, wants_color
from kubectl_fluidmodel.output.shell import Command, command, operands
from kubectl_fluidmodel.prune import view
from kubectl_fluidmodel.prune.bucket_reader import BucketContents, read_bucket
from kubectl_fluidmodel.prune.cluster import ClusterState, find_cluster_leftovers
from kubectl_fluidmodel.prune.cluster_reader import read_cluster
from kubectl_fluidmodel.prune.leftover import CACHE, UPLOAD, Leftover, ModelUploads, StoredRevision
from kubectl_fluidmodel.prune.options import PruneOptions
from kubectl_fluidmodel.prune.removal import Remover, required_permissions
from kubectl_fluidmodel.prune.revisions import Uses, find_unused_revisions, find_uses, is_used
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.credentials import resolve_store
from kubectl_fluidmodel.stage.stale_uploads import abort_stale_uploads

_OTHER_CLUSTERS = (
    "note: caches in other clusters are unknown; anything younger than --older-than stays"
)


@dataclass
class PruneCommand:
    """One command line of `prune`."""

    options: PruneOptions
    connection: ConfigFlags
    output: str | None
    color: str
    _notes: list[str] = field(default_factory=list)

    def run(self) -> int:
        """List leftovers, and remove them unless this is a dry run.

        Returns:
            The exit code.

        Raises:
            FluidModelError: something cannot be read or removed.
        """
        client = Client.connect(self.connection)
        namespace = None if self.options.all_namespaces else client.namespace
        state, _ = read_cluster(client, namespace, self._note)
        self._require_named_caches(state, client.namespace)
        with ExitStack() as stack:
            prefixes = list(self._places(client, state, stack))
            leftovers = self._find(client, state, prefixes)
            removed = self.options.dry_run == "none"
            self._print(leftovers, client.namespace, removed=removed)
            removable = [leftover for leftover in leftovers if leftover.is_removed]
            if self.options.dry_run != "client" and removable:
                self._require_permissions(client, removable)
            if removed:
                self._remove(client, removable)
        return 0

    # -- reading -----------------------------------------------------------------------------

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)
            print_note(text)

    def _require_named_caches(self, state: ClusterState, namespace: str) -> None:
        """Raises: FluidModelError: a name is not one of our caches."""
        caches = {cache.name: cache for cache in state.caches}
        for name in self.options.names:
            cache = caches.get(name)
            if cache is None or not names.has_own_spec(cache.dataset or {}):
                raise FluidModelError(
                    f"namespace {namespace} has no cache {name} that this plugin created",
                    "",
                    command("kubectl", "fluidmodel", "inspect", "-n", namespace),
                )

    def _places(
        self, client: Client, state: ClusterState, stack: ExitStack
    ) -> Iterator[tuple[S3Store, BucketPrefix]]:
        """Return the stores to check, as reached from here, and the prefix in each."""
        options = self.options
        if options.from_prefix is not None:
            store = resolve_store(options.store, client, client.namespace)
            reachable = stack.enter_context(reachable_store(store, client, client.namespace))
            yield reachable, options.from_prefix
            return
        visited = set()
        for cache in state.caches:
            layout = staging_layout(cache)
            if layout is None:
                continue
            target = mount_targets(cache)[0]
            key = (target.endpoint, layout.destination)
            if key in visited:
                continue
            visited.add(key)
            try:
                store = mounted_store(client, target)
                reachable = stack.enter_context(reachable_store(store, client, cache.namespace))
            except FluidModelError as err:
                self._note_unread(layout.destination, err)
                continue
            yield reachable, layout.destination

    def _note_unread(self, prefix: BucketPrefix, err: FluidModelError) -> None:
        preview = command("kubectl", "fluidmodel", "prune", "--from", prefix.uri)
        self._note(f"note: {prefix.uri} is skipped: {err.reason or err.message} ({preview})")

    def _find(
        self,
        client: Client,
        state: ClusterState,
        prefixes: Sequence[tuple[S3Store, BucketPrefix]],
    ) -> list[Leftover]:
        leftovers: list[Leftover] = []
        uses = read_uses(client, state)
        for store, prefix in prefixes:
            try:
                contents = read_bucket(store, prefix)
                uploads = self._uploads(store, contents)
            except FluidModelError as err:
                if self.options.from_prefix is not None:
                    raise
                self._note_unread(prefix, err)
                continue
            for text in contents.notes:
                self._note(f"note: {text}")
            revisions = find_unused_revisions(contents.revisions, uses, self.options.min_age)
            if any(revision.is_removed for revision in revisions):
                self._note(_OTHER_CLUSTERS)
            leftovers += [*revisions, *uploads]
        return leftovers + find_cluster_leftovers(state, self.options.min_age, self.options.names)

    def _uploads(self, store: S3Store, contents: BucketContents) -> list[Leftover]:
        """Return the unfinished uploads that are old enough to be aborted."""
        min_age = self.options.min_age
        return [
            Leftover(
                UPLOAD,
                f"{layout.uri.removesuffix(layout.commit)}{upload.commit}/{upload.path}",
                upload.age,
                "it makes no progress",
                ModelUploads(store, layout),
                bytes=upload.bytes,
            )
            for layout in contents.uploading
            for upload in abort_stale_uploads(
                store, layout.destination, layout.repo, min_age, dry_run=True
            )
            if upload.aborted
        ]

    # -- writing -----------------------------------------------------------------------------

    def _print(self, leftovers: Sequence[Leftover], namespace: str, *, removed: bool) -> None:
        from kubectl_fluidmodel.output.serialize import format_document

        if self.output is None:
            width = terminal_width()
            color = wants_color(sys.stdout, self.color)
            remove = None if removed else self._remove_command(namespace)
            text = view.leftovers_text(leftovers, width=width, color=color, remove=remove)
            click.echo(text, nl=False)
        elif self.output == "name":
            lines = (f"{leftover.kind}/{leftover.name}\n" for leftover in leftovers)
            click.echo("".join(lines), nl=False)
        else:
            document = view.prune_document(leftovers, removed=removed, notes=self._notes)
            click.echo(format_document(document, self.output), nl=False)

    def _remove_command(self, namespace: str) -> Command:
        """Return the same command line with --yes."""
        options, prefix = self.options, self.options.from_prefix
        flags = [*(("--from", prefix.uri) if prefix else ()), *options.store.flags]
        if options.min_age != PruneOptions().min_age:
            flags += ["--older-than", f"{options.min_age:.0f}s" if options.min_age else "0"]
        flags += ["--yes", *(["-A"] if options.all_namespaces else ["-n", namespace])]
        return command("kubectl", "fluidmodel", "prune", *operands(options.names), *flags)

    def _require_permissions(self, client: Client, leftovers: Sequence[Leftover]) -> None:
        permissions.require_permissions(
            client,
            required_permissions(leftovers),
            task="remove the listed objects",
            docs=RBAC_DOCS,
        )

    def _remove(self, client: Client, leftovers: Sequence[Leftover]) -> None:
        def is_mounted(revision: StoredRevision) -> bool:
            uses = read_uses(client, None)
            return bool(uses.unread) or is_used(revision, uses)

        remover = Remover(client, self.options.min_age, is_mounted, print_warning)
        # Caches first: what their objects used is removed in the next run, not in this one.
        for leftover in sorted(leftovers, key=lambda leftover: leftover.kind != CACHE):
            for line in remover.remove(leftover):
                print_note(line)


def read_uses(client: Client, state: ClusterState | None) -> Uses:
    """Return the uses of buckets in the whole cluster; its namespaces share revisions."""
    owned: Sequence[Object] = state.owned if state is not None else ()
    try:
        return find_uses(client.list_objects(names.DATASETS), owned)
    except ForbiddenError:
        caches: Sequence[Cache] = state.caches if state is not None else ()
        datasets = [cache.dataset for cache in caches if cache.dataset is not None]
        caveat = "caches in other namespaces may use it (list datasets cluster-wide)"
        return find_uses(datasets, owned, caveat)
