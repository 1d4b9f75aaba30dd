"""Flags that all commands share, spelled as in kubectl."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kubectl_fluidmodel.cli.verb_command import flag_group, option
from kubectl_fluidmodel.kube.config import ConfigFlags

F = TypeVar("F", bound=Callable[..., Any])

_EXPLAINED = ("kubeconfig", "context")
"""The connection flags that `--help` explains, beside -n; of the others it lists the names."""
_CONNECTION_FLAGS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("--kubeconfig", "kubeconfig", {"metavar": "FILE", "help": "The kubeconfig file to use."}),
    ("--context", "context", {"metavar": "NAME", "help": "The kubeconfig context to use."}),
    ("--cluster", "cluster", {"metavar": "NAME", "help": "The kubeconfig cluster to use."}),
    ("--user", "user", {"metavar": "NAME", "help": "The kubeconfig user to use."}),
    ("--as", "as_user", {"metavar": "USER", "help": "User to impersonate."}),
    (
        "--as-group",
        "as_groups",
        {"metavar": "GROUP", "multiple": True, "help": "Group to impersonate; repeatable."},
    ),
    ("--as-uid", "as_uid", {"metavar": "UID", "help": "UID to impersonate."}),
    (
        "--as-user-extra",
        "as_user_extra",
        {
            "metavar": "KEY=VALUE",
            "multiple": True,
            "help": "Extra attribute to impersonate; repeatable.",
        },
    ),
    ("--token", "token", {"metavar": "TOKEN", "help": "Bearer token for the API server."}),
    (
        "--username",
        "username",
        {"metavar": "NAME", "help": "User name for basic authentication."},
    ),
    (
        "--password",
        "password",
        {"metavar": "PASSWORD", "help": "Password for basic authentication."},
    ),
    (
        "--client-certificate",
        "client_certificate",
        {"metavar": "FILE", "help": "Client certificate for TLS."},
    ),
    (
        "--client-key",
        "client_key",
        {"metavar": "FILE", "help": "Private key of the client certificate."},
    ),
    ("-s,--server", "server", {"metavar": "URL", "help": "Address of the API server."}),
    (
        "--certificate-authority",
        "certificate_authority",
        {"metavar": "FILE", "help": "CA certificate of the API server."},
    ),
    (
        "--insecure-skip-tls-verify",
        "insecure_skip_tls_verify",
        {"is_flag": True, "help": "Do not verify the API server's certificate."},
    ),
    (
        "--tls-server-name",
        "tls_server_name",
        {"metavar": "NAME", "help": "Server name to verify in the API server's certificate."},
    ),
    (
        "--proxy-url",
        "proxy_url",
        {"metavar": "URL", "help": "Proxy for the API server: http, https or socks5."},
    ),
    (
        "--disable-compression",
        "disable_compression",
        {"is_flag": True, "help": "Disable compression of responses."},
    ),
    (
        "--request-timeout",
        "request_timeout",
        {
            "metavar": "DURATION",
            "help": "Timeout of a single request, such as 30s or 2m; 0: the default.",
        },
    ),
)


def connection_flags(function: F) -> F:
    """Add kubectl's connection flags and -n; the command gets one `connection` argument."""
    namespace = option(
        "-n",
        "--namespace",
        "namespace",
        group="Connection",
        metavar="NAME",
        help="Namespace; default: the context's.",
    )
    others = [
        option(
            *names.split(","),
            key,
            group="Connection",
            as_in_kubectl=key not in _EXPLAINED,
            **settings,
        )
        for names, key, settings in _CONNECTION_FLAGS
    ]
    return flag_group(ConfigFlags, "connection", namespace, *others)(function)


def dry_run(help: str) -> Callable[[F], F]:
    """Return --dry-run=none|client|server; a bare --dry-run means client, as in earlier kubectl."""
    return option(
        "--dry-run",
        "dry_run",
        group="Output",
        type=click.Choice(["none", "client", "server"]),
        default="none",
        bare="client",
        show_default=True,
        help=help,
    )


def dry_run_flag(function: F) -> F:
    """Return the --dry-run of commands that send objects."""
    text = "client (or no value): print what would be sent; server: send it without persisting it."
    return dry_run(text)(function)


def output_flag(*formats: str, group: str = "Output") -> Callable[[F], F]:
    """Return -o/--output with the formats that this command supports."""
    return option(
        "-o",
        "--output",
        "output",
        group=group,
        type=click.Choice(formats),
        default=None,
        help="Output format.",
    )


def color_flag(function: F) -> F:
    """--color=auto|always|never."""
    return option(
        "--color",
        "color",
        group="Output",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="Use color; auto: on a terminal, unless NO_COLOR or TERM=dumb is set.",
    )(function)


def view_flags(group: str, *formats: str) -> Callable[[F], F]:
    """Add the flags of read-only commands: namespaces, live or from a bundle, and output.

    The command gets `everywhere`, `from_bundle`, `output`, `color` and `connection`.
    """

    def with_view(function: F) -> F:
        shown = output_flag(*formats)(color_flag(connection_flags(function)))
        bundled = option(
            "--from-bundle",
            "from_bundle",
            group=group,
            metavar="FILE",
            type=click.Path(dir_okay=False),
            help="Read this file of `doctor --bundle` instead of a cluster.",
        )(shown)
        return option(
            "-A",
            "--all-namespaces",
            "everywhere",
            group=group,
            is_flag=True,
            help="All namespaces.",
        )(bundled)

    return with_view


def price_flag(group: str) -> Callable[[F], F]:
    """--price-per-gib: what the estimate of `cache --dry-run` and `inspect NAME` counts with."""
    return option(
        "--price-per-gib",
        "price_per_gib",
        group=group,
        metavar="PRICE",
        type=click.FloatRange(min=0),
        default=None,
        help="Price of a GiB that leaves the Hub or the store, for the estimate.",
    )
