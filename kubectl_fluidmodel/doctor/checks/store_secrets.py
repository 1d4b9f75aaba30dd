"""5xx: the Secret with the keys of the store."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    CheckSkippedError,
    Evidence,
    Finding,
    register_check,
)
from kubectl_fluidmodel.doctor.mount_results import (
    STORE_UNREADABLE,
    MountResult,
    dataset_reference,
    results_in_state,
    secret_keys_fix,
)
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.snapshot.probe_result import EMPTY_VALUE, ProbeState


def _results_unseen_by_fm212(context: CheckContext, state: ProbeState) -> list[MountResult]:
    """The results in a state of the Secret, if FM212 could not list Secrets.

    Raises:
        CheckSkippedError: FM212 reports the state.
    """
    results = results_in_state(context, state)
    if results and _secrets_were_read(context):
        raise CheckSkippedError("FM212 reports it")
    return results


def _secrets_were_read(context: CheckContext) -> bool:
    return context.snapshot.was_read(kinds.SECRETS, context.cache.namespace)


@register_check("FM501", "the Secret with the store's keys exists", explains=STORE_UNREADABLE)
def store_secret_exists(context: CheckContext) -> Iterator[Finding]:
    """The Secret with the credentials of the store does not exist.

    The same as FM212, found by a probe where you may not read Secrets. A mount takes its
    credentials from this Secret, which has to be in the Dataset's namespace. Without it the
    master's pod stays in ContainerCreating. The command creates it from the environment variables
    `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` of your shell; the kubelet then retries by
    itself.
    """
    for mount_result in _results_unseen_by_fm212(context, ProbeState.NO_SECRET):
        result, namespace = mount_result.result, context.cache.namespace
        yield Finding(
            f"secret {namespace}/{result.secret_name}",
            f"Secret {result.secret_name}, which the mount takes its keys from, does not exist in "
            f"namespace {namespace}",
            (
                Evidence(
                    dataset_reference(context),
                    f"{mount_result.field_path}.encryptOptions",
                    result.secret_name,
                ),
            ),
            secret_keys_fix(context, result),
        )


@register_check("FM502", "the Secret has the keys that the mount names", explains=STORE_UNREADABLE)
def store_secret_has_keys(context: CheckContext) -> Iterator[Finding]:
    """The Secret does not have a key that the mount refers to.

    The same as FM212, found by a probe where you may not read Secrets. An `encryptOption` refers to
    a Secret and a key in it. With a key of another name (`accesskey` instead of
    `AWS_ACCESS_KEY_ID`) the master's pod does not start. Add the key to the Secret, or refer to the
    one that exists.
    """
    for mount_result in _results_unseen_by_fm212(context, ProbeState.NO_KEY):
        result = mount_result.result
        secret = f"secret {context.cache.namespace}/{result.secret_name}"
        yield Finding(
            secret,
            f"Secret {result.secret_name} has no key {result.secret_key}, which the mount takes a "
            "key of the store from",
            (
                Evidence(
                    dataset_reference(context),
                    f"{mount_result.field_path}.encryptOptions",
                    result.secret_key,
                ),
                Evidence(secret, "keys of data", ", ".join(result.secret_keys) or "none"),
            ),
            secret_keys_fix(context, result),
        )


@register_check("FM503", "the credentials are well-formed", explains=STORE_UNREADABLE)
def store_keys_are_well_formed(context: CheckContext) -> Iterator[Finding]:
    """A value in the Secret is not a usable key.

    A key with the trailing newline of `echo KEY | base64`, or with bytes that are not text, is not
    the key that the store issued: the store rejects requests signed with it. Create the Secret with
    `--from-literal`, which adds nothing.
    """
    for mount_result in results_in_state(context, ProbeState.BAD_KEY):
        result = mount_result.result
        if result.message == EMPTY_VALUE and _secrets_were_read(context):
            raise CheckSkippedError("FM212 reports it")
        secret = f"secret {context.cache.namespace}/{result.secret_name}"
        yield Finding(
            secret,
            f"key {result.secret_key} of Secret {result.secret_name} {result.message}",
            (Evidence(secret, result.secret_key, result.message),),
            secret_keys_fix(context, result),
        )
