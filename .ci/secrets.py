"""Look for credentials in the tracked files and in every commit: `make audit`.

Knows the shapes that issuers give their keys, which random text does not have. Words that tests
use for keys ("h1dden", AWS's own EXAMPLE keys) do not have them either.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

SHAPES = {
    "AWS access key": r"\b(?:AKIA|ASIA)(?![A-Z0-9]*(?:EXAMPLE|ABCDEFGH))[A-Z2-7]{16}\b",
    "Hugging Face token": r"\bhf_[A-Za-z]{34}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{82})\b",
    "GitLab token": r"\bglpat-[\w-]{20}\b",
    "Google API key": r"\bAIza[\w-]{35}\b",
    "Slack token": r"\bxox[abprs]-[\w-]{20,}\b",
    "PyPI token": r"\bpypi-AgEIcHlwaS5vcmc[\w-]{50,}",
    "NVIDIA API key": r"\bnvapi-[\w-]{60,}",
    "private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}",
    "JSON web token": r"\beyJ[\w-]{15,}\.eyJ[\w-]{15,}\.[\w-]{20,}",
    "password in a URL": r"\bhttps?://[^\s/:@'\"`{}<>…]+:(?!h1dden|secret|password|PASS)[^\s/:@'\"`{}<>…]{8,}@",
}
_ALL = re.compile("|".join(f"(?P<s{i}>{shape})" for i, shape in enumerate(SHAPES.values())))
_NAMES = list(SHAPES)


def found(text: str) -> Iterator[tuple[str, int]]:
    """What is in a text, and on which line; never the secret itself."""
    for match in _ALL.finditer(text):
        name = _NAMES[int((match.lastgroup or "s0")[1:])]
        yield name, text.count("\n", 0, match.start()) + 1


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, check=True)
    return done.stdout.decode(errors="replace")


def scan() -> Iterable[str]:
    """One line for each that is found."""
    for name in _git("ls-files", "-z").split("\0"):
        path = Path(name)
        if name and path.is_file():
            for what, line in found(path.read_text(errors="replace")):
                yield f"{name}:{line}: {what}"
    history = _git("log", "-p", "--no-color")
    for commit in re.split(r"(?m)^commit (?=[0-9a-f]{40}$)", history):
        for what, _ in found(commit):
            yield f"commit {commit[:12]}: {what}"


if __name__ == "__main__":
    lines = list(dict.fromkeys(scan()))
    print("\n".join(lines) or "no credentials found")
    sys.exit(1 if lines else 0)
