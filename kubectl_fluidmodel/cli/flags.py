"""Flags that several commands share, spelled as in kubectl."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import click

from kubectl_fluidmodel.cli import completers
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.objectstore.options import StoreOptions

F = TypeVar("F", bound=Callable[..., Any])

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


HEADINGS = (
    "Model",
    "Hub",
    "Store",
    "Work",
    "Cache",
    "Graph",
    "Placement",
    "Probe",
    "Output",
    "Connection",
)
"""Headings of `--help` in display order; a heading that is not listed comes before Output."""


class GroupedOption(click.Option):
    """An option that `--help` shows under a heading."""

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class VerbCommand(click.Command):
    """A command whose help is laid out as in kubectl.

    The description comes first, then examples, flags by heading, and usage.
    """

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples.strip("\n")
        for param in self.params:
            kind = completers.completer_for(param)
            if kind is not None:
                param.type = kind

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse arguments like kubectl: a bare --dry-run does not consume the next word."""
        words = args.index("--") if "--" in args else len(args)
        bare = ["--dry-run=client" if word == "--dry-run" else word for word in args[:words]]
        return super().parse_args(ctx, bare + args[words:])

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for line in inspect.cleandoc(self.help or "").splitlines():
            formatter.write(f"{line}\n")
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.splitlines():
                    formatter.write(f"  {line}\n" if line else "\n")
        self.format_options(ctx, formatter)
        formatter.write_paragraph()
        self.format_usage(ctx, formatter)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """`NAME GRAPH… --needed VALUE [OPTIONS]`."""
        pieces: list[str] = []
        for param in self.get_params(ctx):
            if isinstance(param, click.Argument):
                pieces += param.get_usage_pieces(ctx)
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and param.required:
                pieces.append(f"{param.opts[-1]} {param.make_metavar(ctx)}")
        return [*pieces, "[OPTIONS]"]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, options in self.options_by_heading(ctx).items():
            records = [record for each in options if (record := each.get_help_record(ctx))]
            with formatter.section(title):
                formatter.write_dl(records)

    def options_by_heading(self, ctx: click.Context) -> dict[str, list[click.Option]]:
        """Return the visible flags by heading, in the order of GROUPS."""
        groups: dict[str, list[click.Option]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and not param.hidden:
                groups.setdefault(getattr(param, "group", "Output"), []).append(param)
        place = {title: index for index, title in enumerate(HEADINGS)}
        before_output = place["Output"] - 0.5
        return {
            title: groups[title]
            for title in sorted(groups, key=lambda title: place.get(title, before_output))
        }


def option(*names: str, group: str, **settings: Any) -> Callable[[F], F]:
    """Return click.option with a heading for `--help`."""
    return click.option(*names, cls=GroupedOption, group=group, **settings)


def flag_group(
    cls: type, argument: str, *flags: Callable[[Any], Any], prefix: str = ""
) -> Callable[[F], F]:
    """Return a decorator for flags that a command receives together, as one dataclass.

    Args:
        cls: The dataclass. Its fields are the parameter names of the flags.
        argument: The name of the command's parameter.
        flags: The decorators of the flags, in the order of `--help`.
        prefix: The prefix of the parameter names that the fields omit.
    """

    def with_flags(function: F) -> F:
        @functools.wraps(function)
        def with_group(*args: Any, **kwargs: Any) -> Any:
            given = {each.name: kwargs.pop(prefix + each.name) for each in fields(cls)}
            return function(*args, **{argument: cls(**given)}, **kwargs)

        decorated: Any = with_group
        for flag in reversed(flags):
            decorated = flag(decorated)
        result: F = decorated
        return result

    return with_flags


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
        option(*names.split(","), key, group="Connection", **settings)
        for names, key, settings in _CONNECTION_FLAGS
    ]
    return flag_group(ConfigFlags, "connection", namespace, *others)(function)


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


def dry_run(help: str) -> Callable[[F], F]:
    """Return --dry-run=none|client|server; a bare --dry-run means client, as in earlier kubectl."""
    return option(
        "--dry-run",
        "dry_run",
        group="Output",
        type=click.Choice(["none", "client", "server"]),
        default="none",
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
