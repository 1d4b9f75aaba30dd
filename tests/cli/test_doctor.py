"""`doctor` as people start it: flags that exclude or need each other."""

from __future__ import annotations

import pytest

from tests.cli.program import run


@pytest.mark.parametrize(
    "flags",
    [
        ("--image", "example.com/own:1"),
        ("--image-pull-secret", "pull"),
        ("--probe-proxy", "http://proxy:3128"),
        ("--probe-ca", "configmap/corp"),
    ],
)
def test_flags_of_the_probes_pod_need_probe(flags: tuple[str, str]) -> None:
    ended = run("doctor", *flags)
    assert ended.code == 2
    assert ended.error.startswith(f"{flags[0]} without --probe")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--probe-no-proxy", "x"), "--probe-no-proxy"),
        (("--probe-proxy", "http://user:hunter2@proxy:1"), "--probe-proxy contains a user"),
        (("--probe-ca", "pod/corp"), "invalid --probe-ca"),
    ],
)
def test_errors_name_the_flag_of_the_probe(flags: tuple[str, str], message: str) -> None:
    ended = run("doctor", "--probe", *flags)
    assert ended.code == 2
    assert message in ended.error and "hunter2" not in ended.error


def test_a_name_and_all_namespaces_exclude_each_other() -> None:
    assert run("doctor", "demo", "-A").code == 2
