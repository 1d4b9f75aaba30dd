#!/usr/bin/env python3
"""Whether `make audit` can ask: PyPI has vulnerabilities in its JSON, which a mirror may lack."""

from __future__ import annotations

import json
import sys
import urllib.request

ASKED = "https://pypi.org/pypi/pip/json"


def main() -> int:
    try:
        with urllib.request.urlopen(ASKED, timeout=15) as answer:
            return 0 if "vulnerabilities" in json.load(answer) else 1
    except (OSError, ValueError) as error:
        print(f"{ASKED}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
