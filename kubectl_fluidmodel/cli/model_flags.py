"""Flags of commands that read a model from the Hub, use a bucket, or run a pod for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kubectl_fluidmodel.cli.verb_command import flag_group, option
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.objectstore.options import StoreOptions

F = TypeVar("F", bound=Callable[..., Any])


def hub_flags(function: F) -> F:
    """Add the flags of commands that read a model from the Hub, as one `hub` argument."""
    return flag_group(
        HubOptions,
        "hub",
        option(
            "--endpoint-hub",
            "hub_endpoint",
            group="Hub",
            metavar="URL",
            help="URL of the Hub; default: HF_ENDPOINT, else huggingface.co.",
        ),
        option(
            "--hf-secret",
            "hub_secret",
            group="Hub",
            metavar="NAME",
            help="Existing Secret with HF_TOKEN.",
        ),
        option(
            "--include",
            "hub_include",
            group="Hub",
            metavar="GLOB",
            multiple=True,
            help="Only these files; default: all formats that engines read.",
        ),
        option(
            "--exclude",
            "hub_exclude",
            group="Hub",
            metavar="GLOB",
            multiple=True,
            help="Exclude these files.",
        ),
        prefix="hub_",
    )(function)


def store_flags(endpoint_help: str, secret_help: str) -> Callable[[F], F]:
    """Add the flags of commands that use an S3 store; the command gets one `store` argument."""
    return flag_group(
        StoreOptions,
        "store",
        option("--endpoint", group="Store", metavar="URL", help=endpoint_help),
        option("--region", group="Store", metavar="REGION", help="Region of the bucket."),
        option("--s3-secret", group="Store", metavar="NAME", help=secret_help),
    )


def stage_workers_flag(group: str, connections: str) -> Callable[[F], F]:
    """--stage-workers; `connections` describes what is counted, for the help."""
    return option(
        "--stage-workers",
        group=group,
        metavar="N",
        type=click.IntRange(1, 64),
        default=None,
        help=f"{connections}.  [default: 8]",
    )


def pod_flags(prefix: str, *, group: str, pod: str, target: str) -> tuple[Callable[[F], F], ...]:
    """Return the flags of a command that runs this plugin in a pod, for `flag_group`.

    Args:
        prefix: The prefix of the network flags: `stage` results in --stage-proxy.
        group: Their heading.
        pod: What runs the pod, as named in the help.
        target: What the pod reaches through the proxy.
    """
    return (
        option(
            "--image",
            group=group,
            metavar="IMAGE",
            help=f"Image of {pod}, which contains this plugin; default: FLUIDMODEL_IMAGE.",
        ),
        option(
            "--image-pull-secret",
            "pull_secrets",
            group=group,
            metavar="NAME",
            multiple=True,
            help=f"Existing Secret for pulling the image of {pod}; repeatable.",
        ),
        option(
            f"--{prefix}-proxy",
            group=group,
            metavar="URL",
            help=f"Proxy through which {pod} reaches {target}.",
        ),
        option(
            f"--{prefix}-no-proxy",
            group=group,
            metavar="HOST,…",
            help=f"Hosts that {pod} reaches directly; default: hosts in the cluster.",
        ),
        option(
            f"--{prefix}-ca",
            group=group,
            metavar="KIND/NAME[:KEY]",
            help=f"ConfigMap or Secret with the CA certificates that {pod} trusts: "
            "configmap/ca:ca.crt.",
        ),
    )


def staging_job_flags() -> tuple[Callable[[F], F], ...]:
    """Return the flags of where and how a Hub model is staged, for `flag_group`."""
    return (
        option(
            "--stage-on",
            group="Hub",
            type=click.Choice(["cluster", "client"]),
            default="cluster",
            show_default=True,
            help="Where the transfer runs: in a Job or on this machine.",
        ),
        *pod_flags("stage", group="Hub", pod="the Job", target="the Hub"),
        stage_workers_flag("Hub", "Parallel connections per shard"),
        option(
            "--shards",
            group="Hub",
            metavar="N",
            type=click.IntRange(1, 100),
            default=1,
            show_default=True,
            help="Pods that share the transfer.",
        ),
    )
