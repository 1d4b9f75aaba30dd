"""The bundle has what is imported by name at run time, which PyInstaller cannot see."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kubectl_fluidmodel
from krew import contents
from kubectl_fluidmodel.cli.main import VERBS

ROOT = Path(__file__).resolve().parents[2]
SPEC = (ROOT / "krew" / "kubectl-fluidmodel.spec").read_text()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_the_bundle(verb: str) -> None:
    assert f"kubectl_fluidmodel.cli.{verb}" in contents.hidden_imports()


def test_so_is_every_module() -> None:
    walked = pkgutil.walk_packages(kubectl_fluidmodel.__path__, "kubectl_fluidmodel.")
    assert {module.name for module in walked} <= set(contents.hidden_imports())
    assert "hiddenimports=contents.hidden_imports()" in SPEC


def test_modules_of_others_that_are_imported_late_are_there() -> None:
    for name in contents.LAZY:
        importlib.import_module(name)


def imported() -> set[str]:
    """Every module that our own modules import, wherever in them they do."""
    found = set()
    for path in (ROOT / contents.PACKAGE).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return found


def test_nothing_that_is_used_is_left_out() -> None:
    left_out = [
        name
        for name in imported()
        if any(name == each or name.startswith(f"{each}.") for each in contents.EXCLUDED)
    ]
    assert left_out == []


def test_whoever_installs_the_plugin_gets_all_that_it_imports() -> None:
    """Not only who has the development tools, which bring some of it along."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    names = re.findall(r"^[\w.-]+", setup["options"]["install_requires"], re.MULTILINE)
    required = {name.lower() for name in names}
    made_by = importlib.metadata.packages_distributions()
    tops = {name.partition(".")[0] for name in imported()} - {contents.PACKAGE}
    missing = {
        top
        for top in tops - set(sys.stdlib_module_names)
        if not required & {name.lower() for name in made_by.get(top, ())}
    }
    assert missing <= {"botocore", "httpx2"}  # boto3 and huggingface_hub are made of them


LOADED = """
import sys
for name in sys.argv[1:]:
    sys.modules[name] = None  # as if it were not there
from kubectl_fluidmodel.hub import http
from kubectl_fluidmodel.objectstore import s3
from kubectl_fluidmodel.output.live import ProgressView
credentials = http.load_credentials("http://127.0.0.1:9")
class Response:
    status, headers = 404, {"X-Error-Code": "RepoNotFound"}
print(http.error_from_response(credentials, "a/b", "main", "http://127.0.0.1:9/api", Response()))
s3.S3Store("http://127.0.0.1:9").client().meta.endpoint_url
with ProgressView(color="always") as view:
    view.log("drawn")
import rich.live, rich.table, rich.progress_bar, websocket, urllib3.contrib.socks
"""


def test_the_hub_the_store_and_the_view_work_without_excluded_modules() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *contents.EXCLUDED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "there is no public model a/b" in done.stdout


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("botocore/data/s3/2006-03-01/service-2.json.gz", True),
        ("botocore\\data\\sts\\2011-06-15\\service-2.json.gz", True),
        ("botocore/data/s3/2006-03-01/examples-1.json", False),
        ("botocore/data/ec2/2016-11-15/service-2.json.gz", False),
        ("botocore/data/endpoints.json", True),
        ("botocore/cacert.pem", True),
        ("boto3/data/s3/2006-03-01/resources-1.json", False),
        ("boto3/session.pyc", True),
        ("dateutil/zoneinfo/dateutil-zoneinfo.tar.gz", False),
        ("dateutil/parser/_parser.pyc", True),
        ("httpx2-2.16.2.dist-info/METADATA", True),
        ("httpx2-2.16.2.dist-info/RECORD", False),
        ("rich/_unicode_data/unicode17-0-0.pyc", True),
    ],
)
def test_data(path: str, kept: bool) -> None:
    assert contents.wanted([path]) == ([path] if kept else [])


def test_the_services_are_those_that_boto3s_chain_asks() -> None:
    """Its providers name the services that they make clients of."""
    import botocore.credentials

    source = Path(botocore.credentials.__file__).read_text()
    asked = set(re.findall(r"create_client\(\s*'([\w-]+)'", source)) | set(
        re.findall(r"client_creator\(\s*'([\w-]+)'", source)
    )
    assert asked, "botocore makes its clients in another way"
    assert asked <= set(contents.SERVICES)
