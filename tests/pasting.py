"""What a real shell makes of the commands that the product prints.

`parsed` gives each command to bash, in which every program is a function that only notes how it
was called. A command that runs anything else, touches a file or does not parse shows.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("kubectl", "helm", "aws", "curl", "printf", "timedatectl")
"""What fixes call."""

_BASH_SCRIPT = r"""
note() { builtin printf '%s\0' "$#" "$@" >> "$NOTED"; }
command_not_found_handle() { note ! "$@"; return 127; }
PATH=/nonexistent
for program in $PROGRAMS; do eval "$program() { note $program \"\$@\"; }"; done
number=0
while IFS= read -r -d '' line; do
    note '#' $((number++))
    eval "$line" </dev/null >/dev/null 2>>"$ERRORS"
    code=$?
    [ $code = 0 ] || note ! "exit code $code"
done
"""


@dataclass
class ShellResult:
    """What one command line came to."""

    calls: list[list[str]] = field(default_factory=list)
    """Programs with their arguments, in no certain order where a pipe joins them."""
    unexpected: list[list[str]] = field(default_factory=list)
    """What it ran besides, and how it failed."""


def run_commands_in_bash(commands: Sequence[str], **env: str) -> list[ShellResult]:
    """Each command as bash takes it."""
    bash = shutil.which("bash")
    assert bash, "no bash, which these tests compare with"
    with tempfile.TemporaryDirectory() as folder:
        noted, errors = Path(folder, "noted"), Path(folder, "errors")
        noted.touch()
        work = Path(folder, "work")
        work.mkdir()
        lines = b"".join(each.encode("utf-8", "surrogateescape") + b"\0" for each in commands)
        subprocess.run(
            [bash, "--norc", "--noprofile", "-c", _BASH_SCRIPT],
            input=lines,
            env={"NOTED": str(noted), "ERRORS": str(errors), "PROGRAMS": " ".join(PROGRAMS), **env},
            cwd=work,
            timeout=300,
            check=True,
            capture_output=True,
        )
        left = sorted(each.name for each in work.iterdir())
        assert left == [], f"commands made files: {left}"
        return _parse_results(noted.read_bytes(), len(commands))


def _parse_results(noted: bytes, count: int) -> list[ShellResult]:
    found = [ShellResult() for _ in range(count)]
    words = [word.decode("utf-8", "surrogateescape") for word in noted.split(b"\0")[:-1]]
    at = -1
    while words:
        length = int(words[0])
        call, words = words[1 : length + 1], words[length + 1 :]
        if call[0] == "#":
            at = int(call[1])
        elif call[0] == "!":
            found[at].unexpected.append(call[1:])
        else:
            found[at].calls.append(call)
    return found
