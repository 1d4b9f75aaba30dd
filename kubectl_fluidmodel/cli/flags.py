"""Flags that all commands share, spelled as in kubectl."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kubectl_fluidmodel.cli.verb_command import flag_group, option
from kubectl_fluidmodel.kube.config import ConfigFlags

F = TypeVar("F", bound=Callable[..., Any])


def _connection_flag(*names: str, as_in_kubectl: bool = True, **settings: Any) -> Callable[[F], F]:
    """Return one of kubectl's connection flags; `--help` lists it by name if `as_in_kubectl`."""
    return option(*names, group="Connection", as_in_kubectl=as_in_kubectl, **settings)


def _explained_flag(*names: str, **settings: Any) -> Callable[[F], F]:
    """Return a connection flag that `--help` explains."""
    return _connection_flag(*names, as_in_kubectl=False, **settings)


_CONNECTION_FLAGS = (
    _explained_flag(
        "-n",
        "--namespace",
        "namespace",
        metavar="NAME",
        help="Namespace; default: the context's.",
    ),
    _explained_flag("--kubeconfig", metavar="FILE", help="The kubeconfig file to use."),
    _explained_flag("--context", metavar="NAME", help="The kubeconfig context to use."),
    _connection_flag("--cluster", metavar="NAME", help="The kubeconfig cluster to use."),
    _connection_flag("--user", metavar="NAME", help="The kubeconfig user to use."),
    _connection_flag("--as", "as_user", metavar="USER", help="User to impersonate."),
    _connection_flag(
        "--as-group",
        "as_groups",
        metavar="GROUP",
        multiple=True,
        help="Group to impersonate; repeatable.",
    ),
    _connection_flag("--as-uid", metavar="UID", help="UID to impersonate."),
    _connection_flag(
        "--as-user-extra",
        metavar="KEY=VALUE",
        multiple=True,
        help="Extra attribute to impersonate; repeatable.",
    ),
    _connection_flag("--token", metavar="TOKEN", help="Bearer token for the API server."),
    _connection_flag("--username", metavar="NAME", help="User name for basic authentication."),
    _connection_flag("--password", metavar="PASSWORD", help="Password for basic authentication."),
    _connection_flag("--client-certificate", metavar="FILE", help="Client certificate for TLS."),
    _connection_flag("--client-key", metavar="FILE", help="Private key of the client certificate."),
    _connection_flag("-s", "--server", metavar="URL", help="Address of the API server."),
    _connection_flag(
        "--certificate-authority", metavar="FILE", help="CA certificate of the API server."
    ),
    _connection_flag(
        "--insecure-skip-tls-verify",
        is_flag=True,
        help="Do not verify the API server's certificate.",
    ),
    _connection_flag(
        "--tls-server-name",
        metavar="NAME",
        help="Server name to verify in the API server's certificate.",
    ),
    _connection_flag(
        "--proxy-url", metavar="URL", help="Proxy for the API server: http, https or socks5."
    ),
    _connection_flag(
        "--disable-compression", is_flag=True, help="Disable compression of responses."
    ),
    _connection_flag(
        "--request-timeout",
        metavar="DURATION",
        help="Timeout of a single request, such as 30s or 2m; 0: the default.",
    ),
)


def connection_flags(function: F) -> F:
    """Add kubectl's connection flags and -n; the command gets one `connection` argument."""
    return flag_group(ConfigFlags, "connection", *_CONNECTION_FLAGS)(function)


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


def timeout_flag(
    default: str,
    help: str = "Maximum time to wait in total.",
    *,
    group: str = "Output",
    **settings: Any,
) -> Callable[[F], F]:
    """Return --timeout."""
    return option(
        "--timeout",
        group=group,
        metavar="DURATION",
        default=default,
        show_default=True,
        help=help,
        **settings,
    )


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
        with_output = output_flag(*formats)(color_flag(connection_flags(function)))
        bundled = option(
            "--from-bundle",
            "from_bundle",
            group=group,
            metavar="FILE",
            type=click.Path(dir_okay=False),
            help="Read this file of `doctor --bundle` instead of a cluster.",
        )(with_output)
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
