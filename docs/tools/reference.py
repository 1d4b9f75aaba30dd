"""Generate docs/reference/ from the code: flags, exit codes, keys, documents, checks, environment.

    python -m docs.tools.reference [--check]

The reference includes every command in VERBS, every registered check, every exit code of an error
class, and every key and document that a module defines. `--check` writes nothing and fails if a
page is not current.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import kubectl_fluidmodel
from kubectl_fluidmodel.cli.main import PROGRAM, VERBS, root
from kubectl_fluidmodel.cli.verb_command import VerbCommand
from kubectl_fluidmodel.errors import FluidModelError

REPO = Path(__file__).parents[2]
PACKAGE = REPO / "kubectl_fluidmodel"
TARGET = REPO / "docs" / "reference"
NOTE = "<!-- Generated from the code by `make docs`; edit the code. -->\n\n"

ENVIRONMENT = {
    "KUBECONFIG": "kubeconfig files, as for kubectl",
    "KUBERC": "kubectl's preferences; only the policy for credential plugins applies",
    "KUBECTL_KUBERC": "`false`: ignore kubectl's preferences, as for kubectl",
    "POD_NAMESPACE": "in a pod: the namespace, if neither a flag nor the context sets it",
    "AWS_ENDPOINT_URL_S3": "default of `--endpoint`; overrides `AWS_ENDPOINT_URL`",
    "AWS_ENDPOINT_URL": "default of `--endpoint`",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "`true`: use only the endpoint of `--endpoint`",
    "FLUIDMODEL_IMAGE": "default of `--image`, for staging Jobs and probes",
    "NO_COLOR": "if set: no color, unless `--color always`",
    "TERM": "`dumb`: no color and no live view",
    "FLUIDMODEL_COMPLETION_TIMEOUT": "seconds that TAB completion waits for the cluster (0.15)",
    "AWS_CREDENTIAL_EXPIRATION": "when the keys in the environment expire; used for a warning",
    "AWS_CA_BUNDLE": "CA certificates for the store; overrides `REQUESTS_CA_BUNDLE`",
    "REQUESTS_CA_BUNDLE": "CA certificates for Hub and store; overrides `SSL_CERT_FILE`",
    "SSL_CERT_FILE": "CA certificates for Hub, store and API server; replace the system's",
    "SSL_CERT_DIR": "directories with additional CA certificates, separated by colons",
    "NO_PROXY": "hosts that are reached directly",
    "no_proxy": "used if `NO_PROXY` is not set",
}
"""Variables for users; the code must read each of them."""
_NOT_FOR_USERS = {
    "PATH",
    "KUBERNETES_EXEC_INFO",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
}
_OF_LIBRARIES = (
    (
        "`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_PROFILE` …",
        "credentials; boto3 reads them",
    ),
    ("`HF_TOKEN`, `HF_ENDPOINT`, `HF_HOME`", "the Hub; its client reads them"),
    ("`HTTPS_PROXY`, `HTTP_PROXY`, also in lower case", "proxies"),
)


def pages() -> dict[str, str]:
    """File name to content of every page."""
    found = {f"{verb}.md": verb_page(verb) for verb in VERBS}
    found["exit-codes.md"] = exit_codes()
    found["keys.md"] = keys()
    found["documents.md"] = documents()
    found["environment.md"] = environment()
    found["checks.md"] = checks_page()
    found["index.md"] = index(found)
    return found


def index(others: dict[str, str]) -> str:
    lines = ["# Reference", "", "Generated from the code by `make docs`.", "", "## Commands", ""]
    lines += ["| command | |", "|---|---|"]
    lines += [f"| [`{verb}`]({verb}.md) | {about} |" for verb, about in VERBS.items()]
    lines += ["", "## Other pages", ""]
    for name, text in others.items():
        if name.removesuffix(".md") not in VERBS:
            title = re.search(r"^# (.*)$", text, re.MULTILINE)
            lines.append(f"- [{title[1] if title else name}]({name})")
    return NOTE + "\n".join(lines) + "\n"


# -- verbs -----------------------------------------------------------------------------------


def verb_page(verb: str) -> str:
    context = click.Context(root, info_name=PROGRAM, **root.context_settings)
    command = root.get_command(context, verb)
    assert isinstance(command, VerbCommand)
    own = click.Context(command, info_name=verb, parent=context)
    usage = " ".join(command.collect_usage_pieces(own))
    lines = [f"# `{PROGRAM} {verb}`", "", VERBS[verb] + ".", ""]
    lines += [_escaped(inspect.cleandoc(command.help or "")), ""]
    lines += ["```", f"{PROGRAM} {verb} {usage}", "```", "", "## Examples", ""]
    lines += ["```sh", command.examples, "```", ""]
    for title, options in command.options_by_heading(own).items():
        lines += [f"## {title}", "", "| flag | |", "|---|---|"]
        lines += [_flag(option, own) for option in options] + [""]
    return NOTE + "\n".join(lines).rstrip() + "\n"


def _flag(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record is not None
    names, help_ = record
    repeated = " Repeatable." if option.multiple and "repeated" not in help_ else ""
    return f"| `{_cell(names)}` | {_cell(_escaped(help_))}{repeated} |"


# -- exit codes ------------------------------------------------------------------------------


def exit_codes() -> str:
    _import_all()
    by_code: dict[int, list[type[FluidModelError]]] = {}
    for kind in _family(FluidModelError):
        by_code.setdefault(kind.exit_code, []).append(kind)
    lines = ["# Exit codes", "", "Exit codes do not depend on `-o`.", ""]
    lines += ["| code | when | error classes |", "|---|---|---|"]
    lines.append("| 0 | Success, possibly with warnings. | |")
    for code in sorted(by_code):
        kinds = by_code[code]
        # The class that sets the code describes it; its subclasses are special cases.
        chief = next(kind for kind in kinds if "exit_code" in vars(kind))
        about = " ".join(inspect.cleandoc(chief.__doc__ or "").split("\n\n")[0].split())
        names = ", ".join(f"`{name}`" for name in sorted({kind.__name__ for kind in kinds}))
        lines.append(f"| {code} | {_cell(about)} | {names} |")
    return NOTE + "\n".join(lines) + "\n"


def _family(kind: type[FluidModelError]) -> Iterator[type[FluidModelError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


def _import_all() -> None:
    for module in pkgutil.walk_packages(kubectl_fluidmodel.__path__, "kubectl_fluidmodel."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


# -- definitions in the code -----------------------------------------------------------------


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(REPO).as_posix(), ast.parse(path.read_text())


def keys() -> str:
    """List constants whose value is one of our keys, with the docstring below each."""
    rows = []
    for name, tree in _sources():
        for here, below in zip(tree.body, [*tree.body[1:], None], strict=True):
            if not (isinstance(here, ast.Assign) and isinstance(here.value, ast.Constant)):
                continue
            value = here.value.value
            if not isinstance(value, str) or not re.fullmatch(r"fluidmodel\.io/[a-z-]{3,}", value):
                continue
            about = _string(below)
            if not about:
                raise SystemExit(f"{name}: {value} needs a docstring below it")
            rows.append(f"| `{value}` | {_cell(' '.join(about.split()))} |")
    lines = ["# Labels and annotations", ""]
    lines += ["All our objects also have the label `app.kubernetes.io/managed-by:"]
    lines += ["kubectl-fluidmodel`.", "", "| key | |", "|---|---|", *sorted(rows)]
    return NOTE + "\n".join(lines) + "\n"


def _string(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""


def documents() -> str:
    """List dict literals with our apiVersion: their kind and top-level fields."""
    rows = []
    for _, tree in _sources():
        constants = {
            target.id: each.value.value
            for each in tree.body
            if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant)
            for target in each.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                found = _document(node, constants)
                if found:
                    rows.append(found)
    lines = ["# Documents", ""]
    lines += [
        "Documents with `apiVersion: fluidmodel.io/v1`: the output of `-o json` and `-o yaml`, and"
    ]
    lines += ["files beside a staged model. [Output formats](../output.md) describes the fields."]
    lines += ["New fields may be added. Within a version, no field changes its meaning.", ""]
    lines += ["| kind | fields |", "|---|---|", *sorted(set(rows))]
    return NOTE + "\n".join(lines) + "\n"


def _document(node: ast.Dict, constants: dict[str, object]) -> str:
    fields = {
        key.value: value
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
    version, kind = fields.get("apiVersion"), fields.get("kind")
    ours = isinstance(version, ast.Name) and version.id == "API_VERSION"
    if not ours or kind is None:
        return ""
    name = kind.value if isinstance(kind, ast.Constant) else constants[ast.unparse(kind)]
    others = [f"`{field}`" for field in fields if field not in ("apiVersion", "kind")]
    if None in node.keys:  # **more
        others.append("…")
    return f"| `{name}` | {', '.join(others)} |"


def environment() -> str:
    read = set()
    for path in PACKAGE.rglob("*.py"):
        read |= set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", path.read_text()))
    if read - _NOT_FOR_USERS != set(ENVIRONMENT):
        odd = sorted((read - _NOT_FOR_USERS) ^ set(ENVIRONMENT))
        raise SystemExit(f"docs/tools/reference.py: ENVIRONMENT and the code differ in {odd}")
    lines = ["# Environment", "", "| variable | |", "|---|---|"]
    lines += [f"| `{name}` | {about} |" for name, about in ENVIRONMENT.items()]
    lines += [f"| {names} | {about} |" for names, about in _OF_LIBRARIES]
    return NOTE + "\n".join(lines) + "\n"


def checks_page() -> str:
    """Return the checks of `doctor`: a table for each area, then a section for each check."""
    importlib.import_module("kubectl_fluidmodel.doctor.checks")
    registry = importlib.import_module("kubectl_fluidmodel.doctor.check").REGISTRY
    lines = ["# Checks", "", "The checks of [`doctor`](../doctor.md), by code."]
    by_area: dict[str, list[Any]] = {}
    for check in registry.in_code_order():
        by_area.setdefault(check.area, []).append(check)
    for area, checks in by_area.items():
        lines += ["", f"## {area}", ""]
        lines += ["| code | what is checked | severity | reads |", "|---|---|---|---|"]
        for check in checks:
            kinds = [getattr(need, "kind", need) for need in check.needs]
            needs = ", ".join(f"`{kind.resource}`" for kind in kinds)
            code = f"[{check.code}](#{check.code.lower()})"
            lines.append(f"| {code} | {_cell(check.title)} | {check.severity.value} | {needs} |")
        for check in checks:
            lines += ["", f"### {check.code}", "", f"**{_escaped(check.title)}.**", "", check.doc]
            if check.explains:
                codes = sorted(set(check.explains) & set(registry.checks))
                listed = ", ".join(f"[{code}](#{code.lower()})" for code in codes)
                lines += ["", f"Leads to: {listed}."]
    return NOTE + "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    """Escape the text of `--help` for Markdown."""
    return re.sub(r"([\[\]*<>_])", r"\\\1", text)


def main(arguments: list[str]) -> int:
    made = pages()
    if arguments == ["--check"]:
        there = {path.name for path in TARGET.glob("*.md")}
        stale = sorted(
            name
            for name in there | set(made)
            if name not in made or name not in there or (TARGET / name).read_text() != made[name]
        )
        if stale:
            print(f"docs/reference is not current ({', '.join(stale)}); run: make docs")
        return 1 if stale else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for path in TARGET.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (TARGET / name).write_text(text)
    print(f"wrote {len(made)} pages to {TARGET.relative_to(REPO)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
