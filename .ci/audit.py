"""Known vulnerabilities in what constraints.txt pins, by pip-audit, which asks PyPI.

    .venv/bin/python .ci/audit.py [--where-it-answers]

Exit code 1 where there is one, or where a package could not be asked about. A mirror may lack the
list of vulnerabilities altogether: with --where-it-answers that is one line, and no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[1]


def main(arguments: list[str]) -> int:
    command = ["-m", "pip_audit", "--no-deps", "--disable-pip", "--format", "json"]
    done = subprocess.run(
        [sys.executable, *command, "--requirement", "constraints.txt"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(done.stderr.strip() or "pip-audit said nothing")
        return 1
    unasked = [each["name"] for each in packages if "skip_reason" in each]
    if len(unasked) == len(packages) and "--where-it-answers" in arguments:
        print(
            f"== not run: make audit; the list of vulnerabilities has none of {len(packages)} pins"
        )
        return 0
    for each in packages:
        for found in each.get("vulns", []):
            fixed = ", ".join(found["fix_versions"]) or "no release"
            print(f"{each['name']} {each['version']}: {found['id']}, mended in {fixed}")
    if unasked:
        print(f"not asked about: {', '.join(unasked)}")
    known = any(each.get("vulns") for each in packages)
    print(f"{len(packages) - len(unasked)} of {len(packages)} pins looked up")
    return 1 if known or unasked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
