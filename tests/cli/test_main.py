"""Help, verbs, exit codes, and one line for whatever goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.cli.main import VERBS
from tests import interrupts
from tests.cli.program import ROOT, run
from tests.kube.server import status
from tests.loopback import HttpRequest, HttpResponse, json_response, serve


class TestHelp:
    def test_without_arguments_the_quickstart_is_printed(self) -> None:
        ended = run()
        assert ended.code == 0
        assert "kubectl fluidmodel cache org/model --to s3://bucket" in ended.out
        assert ended.err == ""

    @pytest.mark.parametrize("flag", ["-h", "--help"])
    def test_every_verb_is_listed_in_order(self, flag: str) -> None:
        ended = run(flag)
        assert ended.code == 0
        assert ended.out.startswith("Usage: kubectl fluidmodel ")
        places = [ended.out.index(f"\n  {verb} ") for verb in VERBS]
        assert places == sorted(places)

    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_explains_itself(self, verb: str) -> None:
        ended = run(verb, "--help")
        assert ended.code == 0
        assert f"\nUsage: kubectl fluidmodel {verb} " in ended.out
        assert "Examples:" in ended.out
        assert all(len(line) <= 130 for line in ended.out.splitlines())

    @pytest.mark.parametrize("verb", ["cache", "uncache", "pin", "unpin"])
    def test_kubectls_connection_flags_are_there(self, verb: str) -> None:
        help_text = run(verb, "--help").out
        flags = (
            "-n, --namespace --kubeconfig --context --cluster --user --as --as-group --token "
            "-s, --server --certificate-authority --insecure-skip-tls-verify --tls-server-name "
            "--request-timeout --dry-run"
        )
        assert [flag for flag in flags.split() if flag not in help_text] == []

    def test_no_flag_takes_a_credential_of_a_store(self) -> None:
        help_text = run("cache", "--help").out.lower()
        assert "--access-key" not in help_text
        assert "--secret-key" not in help_text

    def test_the_examples_of_cache_parse(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What help shows must be accepted: each as a dry run, offline.

        A model of the Hub needs the Hub's file list even then, and what is adopted a cluster.
        """
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setattr("kubectl_fluidmodel.hub.client.NO_ANSWER_TIMEOUT", 0.1)
        from shlex import split

        from kubectl_fluidmodel.cli.cache import EXAMPLES

        lines = [line for line in EXAMPLES.splitlines() if line.startswith("kubectl")]
        assert len(lines) >= 4
        for line in lines:
            arguments = split(line)[2:]
            if "--dry-run" not in arguments:
                arguments.append("--dry-run")
            if "--quota" not in arguments and "--adopt" not in arguments:
                arguments += ["--quota", "300Gi"]
            ended = run(*arguments)
            away = "--to" in arguments or "--adopt" in arguments
            assert ended.code == (3 if away else 0), (line, ended.err)

    def test_the_version(self) -> None:
        assert run("--version").out == f"kubectl fluidmodel v{__version__}\n"


WRONG = [
    # arguments, words of the error
    (["cach"], "unknown command 'cach'; did you mean 'cache'?; try: kubectl fluidmodel --help"),
    (["uncach", "x"], "did you mean 'uncache'?"),
    (["frobnicate"], "unknown command 'frobnicate'; try: kubectl fluidmodel --help"),
    (["--frobnicate"], "no such option '--frobnicate'"),
    (["cache"], "missing argument 'SOURCE'; try: kubectl fluidmodel cache --help"),
    (["cache", "pvc://c/m", "extra"], "extra"),
    (["cache", "pvc://c/m", "--replica", "2"], "'--replicas'"),
    (["cache", "pvc://c/m", "--replicas", "0"], "0 is not in the range"),
    (["cache", "pvc://c/m", "--replicas", "x"], "'x' is not a valid integer"),
    (["cache", "pvc://c/m", "--medium", "mem"], "'mem' is not one of"),
    (["cache", "pvc://c/m", "-o", "wide"], "'wide' is not one of"),
    (["cache", "pvc://c/m", "--dry-run=maybe"], "'maybe' is not one of"),
    (["cache", "pvc://c/m", "--timeout", "soon"], "'soon' is not a duration"),
    (["cache", "pvc://c/m", "--quota", "big"], "--quota 'big' is not a size"),
    (["cache", "pvc://c/m", "--quota"], "requires an argument"),
    (["cache", "pvc://c/m", "--dry-run"], "the size of pvc://c/m is unknown"),
    (["cache", "nonsense"], "invalid SOURCE 'nonsense'"),
    (["cache", "line\nbreak"], "invalid SOURCE"),
    (["cache", "\x1b[31mred"], "\\x1b[31mred"),
    (["cache", "pvc://c/m", "--name", "UPPER", "--dry-run"], "--name upper"),
    (["uncache"], "missing argument 'NAME'"),
    (["completion", "tcsh"], "'tcsh' is not one of"),
    (["completion", "bash", "--install"], "--install is only for kubectl"),
    (["version", "-o", "name"], "'name' is not one of"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(row[0]) for row in WRONG])
def test_wrong_usage_is_2_and_one_line(arguments: list[str], message: str) -> None:
    ended = run(*arguments)
    assert ended.code == 2
    assert message in ended.error
    assert ended.out == ""
    assert "\x1b" not in ended.err


_DRY_RUN = ("cache", "pvc://c/m", "--quota", "10Gi", "--dry-run")
_WORDS = st.one_of(
    st.sampled_from(
        (
            "cache", "uncache", "pin", "unpin", "version", "completion", "__complete",
            "pvc://c/m", "local:///m", "nfs://h/e", "name", "graph", "bash", "kubectl",
            "--dry-run", "--dry-run=server", "-o", "yaml", "json", "name", "--quota", "10Gi",
            "--node", "a", "--node-selector", "k=v", "--replicas", "2", "--name", "--path", "/x",
            "-n", "--context", "--kubeconfig", "/nope", "--as", "--as-group", "-h", "--help",
            "--version", "--", "-", "-x", "--timeout", "5s", "--request-timeout", "--medium", "SSD",
            "-f", "--component", "--mount-path", "--force", "--no-wait", "--no-load", "",
        )
    ),
    st.text(max_size=6),
)  # fmt: skip


_VALUES = st.one_of(st.text(max_size=8), st.sampled_from(("a", "a=b", "/x", "9Gi", "SSD", "2")))
_DRY_RUNS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "--name", "--path", "--quota", "--node", "--node-selector", "--medium", "-n",
                "--context", "--kubeconfig", "--timeout", "--as", "--color", "-o", "--replicas",
            )
        ),
        _VALUES,
    ),
    max_size=3,
).map(lambda pairs: [*_DRY_RUN, *(f"{flag}={value}" if flag[1] == "-" else f"{flag}{value}"
                                  for flag, value in pairs)])  # fmt: skip


@settings(max_examples=250)
@given(st.one_of(st.lists(_WORDS, max_size=8), _DRY_RUNS))
@example(["cache", "pvc://c/m", "--quota", "1e999999999", "--dry-run"])
@example(["cache", "pvc://c/m", "--quota", "10Gi", "--dry-run", "-n", "\udc80", "-o", "json"])
@example(["cache", "pvc://c/m", "--quota", "10Gi", "--dry-run", "--node", "\udc80"])
@example(["cache", "pvc://c/m", "--quota", "10Gi", "--dry-run", "--kubeconfig", "\x00"])
@example(["cache", "pvc://c/m", "--kubeconfig", "\x00"])
@example(["pin", "name", "-f", "/", "-n", "x"])
def test_no_command_line_ends_in_a_traceback(arguments: list[str]) -> None:
    ended = run(*arguments)
    assert ended.code in (0, 1, 2, 3)
    if ended.code:
        assert ended.error
        assert ended.error.isprintable()
    else:
        assert "error: " not in ended.err
    if ended.code == 2:
        assert ended.out == ""


class TestExitCodes:
    def cache(self, answer: HttpResponse, *more: str, version: bool = False) -> tuple[int, str]:
        """Run `cache` on a server that always gives one answer, but for its version."""
        responses = {"/version": json_response({"gitVersion": "v1.36.3"})} if version else {}
        with serve(lambda request: responses.get(request.path, answer)) as server:
            ended = run("cache", "pvc://c/m", "--quota", "9Gi", "--server", server.url, *more)
        assert ended.out == ""
        return ended.code, ended.error

    def test_fluid_is_not_installed(self) -> None:
        code, error = self.cache(status(404, "not found", "NotFound"), version=True)
        assert code == 1
        assert error.startswith("Fluid is not installed in this cluster; try: helm repo add fluid")

    def test_there_is_no_api_server_at_the_address(self) -> None:
        code, error = self.cache(status(404, "not found", "NotFound"))
        assert code == 3
        assert error.startswith("there is no API server at http://127.0.0.1:")

    def test_credentials_are_refused(self) -> None:
        code, error = self.cache(status(401, "Unauthorized"))
        assert code == 3
        assert "rejects these credentials" in error

    def test_a_proxy_refuses(self) -> None:
        code, error = self.cache(HttpResponse(403, b"<html>\nno entry\n</html>"))
        assert code == 1
        assert "no entry" in error

    def test_the_server_is_ill(self) -> None:
        assert self.cache(status(500, "etcd is down"))[0] == 1

    def test_it_is_no_api_server(self) -> None:
        assert self.cache(HttpResponse(200, b"<html>router</html>"))[0] == 3

    def test_permissions_are_missing(self) -> None:
        def respond(request: HttpRequest) -> HttpResponse:
            if request.method == "POST":
                return json_response({"status": {"allowed": False}}, 201)
            return json_response({"versions": [{"version": "v1alpha1"}]})

        with serve(respond) as server:
            ended = run(
                "cache", "pvc://c/m", "--quota", "9Gi", "--server", server.url, "-n", "team"
            )
        assert ended.code == 1
        assert "you may not cache a model in team" in ended.error
        assert "create datasets.data.fluid.io in namespace team" in ended.error

    def test_no_server_listens(self) -> None:
        ended = run("uncache", "x", "--server", "http://127.0.0.1:1")
        assert ended.code == 3
        assert "no response from http://127.0.0.1:1" in ended.error

    def test_no_kubeconfig(self) -> None:
        ended = run("uncache", "x")
        assert (ended.code, ended.error.split(":")[0]) == (3, "no cluster to talk to")

    def test_there_is_no_such_cache(self) -> None:
        empty = json_response({"kind": "List", "metadata": {}, "items": []})
        with serve(lambda _: empty) as server:
            ended = run("uncache", "x", "--server", server.url)
        assert ended.code == 1
        assert "namespace default has no cache x made by this plugin" in ended.error

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_interrupted(self, number: signal.Signals) -> None:
        with interrupts.interrupts_enabled():
            ended = interrupted(number)
        assert ended.code == 130
        assert ended.err.startswith("error: interrupted: the objects that were created stay")
        assert (len(ended.err.splitlines()), ended.out) == (1, "")

    def test_behind_an_ampersand_ctrl_c_is_for_others(self) -> None:
        """A shell's background job ignores SIGINT, and goes on; SIGTERM still ends it."""
        with interrupts.interrupts_enabled(), interrupts.interrupts_ignored():
            ended = interrupted(signal.SIGINT, signal.SIGTERM)
        assert ended.survived == [signal.SIGINT]
        assert (ended.code, len(ended.err.splitlines())) == (130, 1)

    def test_who_ignores_sigterm_is_left_to(self) -> None:
        """What the caller ignores stays ignored: also `trap '' TERM`."""
        with interrupts.interrupts_enabled():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            ended = interrupted(signal.SIGTERM, signal.SIGINT)
        assert ended.survived == [signal.SIGTERM]
        assert ended.code == 130


@dataclass
class Interrupted:
    """A run that was sent signals until it ended."""

    code: int
    out: str
    err: str
    survived: list[signal.Signals]


def interrupted(*numbers: signal.Signals) -> Interrupted:
    """`cache` while the API server does not respond, sent each of these in turn."""
    asked, release = threading.Event(), threading.Event()

    def hang(_: HttpRequest) -> HttpResponse:
        asked.set()
        release.wait(20)
        return json_response({})

    survived = []
    with serve(hang) as server:
        arguments = ["cache", "pvc://c/m", "--quota", "9Gi", "--server", server.url]
        process = subprocess.Popen(
            [sys.executable, "-m", "kubectl_fluidmodel", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert asked.wait(20)
        time.sleep(0.1)
        for number in numbers[:-1]:
            process.send_signal(number)
            time.sleep(0.5)
            if process.poll() is None:
                survived.append(number)
        process.send_signal(numbers[-1])
        out, err = process.communicate(timeout=20)
        release.set()
    return Interrupted(process.returncode, out, err, survived)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["completion", "bash"],
        ["version", "-o", "json"],
        ["cache", "pvc://claim/dir", "--quota", "10Gi", "--dry-run"],
    ],
)
def test_a_reader_that_disappears_is_no_error(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "kubectl_fluidmodel", *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            timeout=30,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
