"""plugin.yaml, the krew manifest: rendered for a release, turned into .krew.yaml, and linted.

    python -m krew.manifest lint [FILE] [--released]
    python -m krew.manifest render --archives dist [--base URL] [--available] [--to FILE]
    python -m krew.manifest bot > .krew.yaml

plugin.yaml at the top is the only source: rendering changes its version, its addresses and its
sha256 values and leaves every other line alone.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from krew.lint import problems
from krew.names import NAME, TARGETS, Target, archive_name
from kubectl_fluidmodel import __version__

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "plugin.yaml"

_PLATFORM = re.compile(
    r"  - selector:\n"
    r"      matchLabels:\n"
    r"        os: (?P<os>\w+)\n"
    r"        arch: (?P<arch>\w+)\n"
    r"    uri: (?P<base>\S+)/v[^/\s]+/\S+\n"
    r"    sha256: \S+\n"
    r"    bin: (?P<bin>\S+)\n"
)
_VERSION = re.compile(r"^(  version: )v\S+$", re.MULTILINE)
_COMMENT = re.compile(r"\A(#[^\n]*\n)+")


def render(
    source: str, version: str, digests: Mapping[Target, str], base: str | None = None
) -> str:
    """The manifest of a release; platforms without a digest are left out.

    `version` is as in `0.1.0`; `base` replaces the address under which releases are found.
    """

    def platform(found: re.Match[str]) -> str:
        target = Target(found["os"], found["arch"])
        if target not in digests:
            return ""
        text = found[0]
        uri = f"{base or found['base']}/v{version}/{archive_name(version, target)}"
        text = re.sub(r"    uri: \S+", f"    uri: {uri}", text)
        return re.sub(r"    sha256: \S+", f'    sha256: "{digests[target]}"', text)

    text = _VERSION.sub(rf"\g<1>v{version}", source)
    return _COMMENT.sub("", _PLATFORM.sub(platform, text))


def for_bot(source: str) -> str:
    """The template that krew-release-bot fills in after a release."""

    def platform(found: re.Match[str]) -> str:
        target = Target(found["os"], found["arch"])
        tag = "{{ .TagName }}"
        name = archive_name("VERSION", target).replace("vVERSION", tag)
        action = f'{{{{addURIAndSha "{found["base"]}/{tag}/{name}" .TagName }}}}'
        return re.sub(r"    uri: \S+\n    sha256: \S+", f"    {action}", found[0])

    text = _VERSION.sub(r"\g<1>{{ .TagName }}", source)
    head = "# For krew-release-bot; made from plugin.yaml by `python -m krew.manifest bot`.\n"
    return head + _COMMENT.sub("", _PLATFORM.sub(platform, text))


def digests(archives: Path, version: str) -> dict[Target, str]:
    """The sha256 of each target's archive that is there."""
    found = {}
    for target in TARGETS:
        file = archives / archive_name(version, target)
        if file.is_file():
            found[target] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m krew.manifest", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    lint = verbs.add_parser("lint", help="say what is wrong with a manifest")
    lint.add_argument("file", nargs="?", type=Path, default=SOURCE)
    lint.add_argument("--released", action="store_true", help="zeros are no sha256")
    make = verbs.add_parser("render", help="the manifest for archives")
    make.add_argument("--archives", type=Path, default=ROOT / "dist", metavar="DIR")
    make.add_argument("--version", default=__version__, help="as in 0.1.0")
    make.add_argument("--base", metavar="URL", help="where releases are found")
    make.add_argument("--available", action="store_true", help="only the targets that are there")
    make.add_argument("--to", type=Path, metavar="FILE", help="default: standard output")
    verbs.add_parser("bot", help="the template .krew.yaml")
    options = parser.parse_args(argv)
    if options.verb == "bot":
        sys.stdout.write(for_bot(SOURCE.read_text()))
        return 0
    if options.verb == "lint":
        return _tell(problems(options.file.read_text(), released=options.released))
    known = digests(options.archives, options.version)
    missing = [str(target) for target in TARGETS if target not in known]
    if missing and not options.available:
        return _tell([f"{options.archives} has no {NAME} for {', '.join(missing)}"])
    text = render(SOURCE.read_text(), options.version, known, options.base)
    found = problems(text, released=True, partial=options.available)
    if not found and options.to:
        options.to.write_text(text)
    elif not found:
        sys.stdout.write(text)
    return _tell(found)


def _tell(found: list[str]) -> int:
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
