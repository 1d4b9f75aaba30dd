"""What must not be in the code: ruff's rules find it, and nobody has switched them off."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]

BAD = {
    "S102": "exec('1')",
    "S202": "import tarfile\ntarfile.open('x').extractall()",
    "S301": "import pickle\npickle.loads(b'')",
    "S306": "import tempfile\ntempfile.mktemp()",
    "S307": "eval(input())",
    "S501": "import requests\nrequests.get('https://x', verify=False, timeout=1)",
    "S506": "import yaml\nyaml.load('x', Loader=yaml.Loader)",
    "S602": "import subprocess\nx = input()\nsubprocess.run(x, shell=True, check=True)",
    "S605": "import os\nos.system(input())",
}


@pytest.mark.parametrize("where", ["kubectl_fluidmodel/model/new.py", "docs/tools/new.py"])
@pytest.mark.parametrize("rule", BAD)
def test_ruff_refuses(rule: str, where: str) -> None:
    done = subprocess.run(
        ["ruff", "check", "--output-format=json", f"--stdin-filename={REPO / where}", "-"],
        executable=str(Path(sys.executable).parent / "ruff"),
        input=BAD[rule] + "\n",
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert rule in {each["code"] for each in json.loads(done.stdout)}


SCAN = runpy.run_path(str(REPO / ".ci" / "secrets.py"))["found"]
SECRETS = {
    "AWS access key": "AKIA" + "Q3EGRIA7LK2MZX5T",
    "Hugging Face token": "hf_" + "abcdefghijABCDEFGHIJabcdefghijABCD",
    "GitHub token": "ghp_" + "a1B2c3D4e5F6" * 3,
    "private key": "-----BEGIN RSA PRIVATE " + "KEY-----\n" + "MIIEowIBAAKCAQEA" * 4,
    "JSON web token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0." + "x" * 30,
    "password in a URL": "https://me:" + "correct-horse-9@example.com/x",
}


@pytest.mark.parametrize("what", SECRETS)
def test_a_credential_is_found_and_not_repeated(what: str) -> None:
    assert list(SCAN(f"first line\nkey: {SECRETS[what]}\n")) == [(what, 2)]


def test_words_that_are_not_credentials() -> None:
    text = "AKIAIOSFODNN7EXAMPLE hf_token https://user@host/ -----BEGIN PUBLIC KEY-----"
    assert list(SCAN(text)) == []


def test_the_tracked_files_have_none() -> None:
    names = subprocess.run(
        ["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout.split()
    texts = {name: REPO / name for name in names if (REPO / name).is_file()}
    hits = {name: list(SCAN(path.read_text(errors="replace"))) for name, path in texts.items()}
    assert {name: hit for name, hit in hits.items() if hit} == {}


def test_only_these_modules_write_temporary_files() -> None:
    """What each of them writes is on docs/security.md, under Temporary files."""
    package = REPO / "kubectl_fluidmodel"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "tempfile" in path.read_text()
    }
    assert found == {"doctor/support_bundle.py", "kube/transport.py", "net/tls.py"}
