"""kubectl's connection flags over real kubeconfig files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.kube import config
from kubectl_fluidmodel.kube.config import (
    ConfigFlags,
    context_namespace,
    load_rest_config,
    parse_timeout,
)
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from tests.kube import kubeconfig

CREDENTIAL = json.dumps(
    {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plugin"},
    }
)


def token(access: config.RestConfig) -> str:
    return access.credentials.auth_headers().authorization


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A kubeconfig of two contexts."""
    return kubeconfig.write(
        tmp_path / "config",
        clusters={"c1": "https://one:1", "c2": "https://two:2"},
        users={"u1": {"token": "t1"}, "u2": {"token": "t2"}},
        contexts={"main": ("c1", "u1", "team"), "other": ("c2", "u2", "")},
    )


@pytest.mark.parametrize(
    ("flags", "host", "bearer", "namespace"),
    [
        ({}, "https://one:1", "Bearer t1", "team"),
        ({"context": "other"}, "https://two:2", "Bearer t2", "default"),
        ({"cluster": "c2"}, "https://two:2", "Bearer t1", "team"),
        ({"user": "u2"}, "https://one:1", "Bearer t2", "team"),
        ({"context": "other", "cluster": "c1"}, "https://one:1", "Bearer t2", "default"),
        ({"namespace": "mine"}, "https://one:1", "Bearer t1", "mine"),
        ({"server": "https://three:3/"}, "https://three:3", "Bearer t1", "team"),
        ({"token": "given"}, "https://one:1", "Bearer given", "team"),
    ],
)
def test_flags_go_before_the_file(
    two: Path, flags: dict[str, str], host: str, bearer: str, namespace: str
) -> None:
    access = load_rest_config(ConfigFlags(kubeconfig=str(two), **flags))  # type: ignore[arg-type]
    assert (access.server.url, token(access), access.namespace) == (host, bearer, namespace)


def test_the_token_is_not_in_the_repr_of_the_flags() -> None:
    assert "given" not in repr(ConfigFlags(token="given"))


def test_tls_flags(two: Path, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("certificate")
    access = load_rest_config(
        ConfigFlags(str(two), certificate_authority=str(authority), tls_server_name="k8s.example")
    ).server
    assert (access.authority, access.name) == (b"certificate", "k8s.example")
    assert not access.insecure
    assert load_rest_config(ConfigFlags(str(two), insecure_skip_tls_verify=True)).server.insecure


def test_a_certificate_authority_that_is_no_file(two: Path) -> None:
    with pytest.raises(UsageError, match="--certificate-authority"):
        load_rest_config(ConfigFlags(str(two), certificate_authority="/nope/ca.pem"))


class TestFiles:
    def test_the_default_file(self, tmp_path: Path) -> None:
        kubeconfig.write(tmp_path / ".kube" / "config", clusters={"c1": "https://home:1"})
        assert load_rest_config(ConfigFlags()).server.url == "https://home:1"

    def test_a_list_is_merged_and_the_first_of_each_name_counts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = kubeconfig.write(
            tmp_path / "first", clusters={"c1": "https://first:1"}, users={}, current="main"
        )
        second = kubeconfig.write(
            tmp_path / "second",
            clusters={"c1": "https://second:1", "c2": "https://second:2"},
            users={"u1": {"token": "from-second"}},
            contexts={"main": ("c2", "u1", "x"), "other": ("c2", "u1", "ns2")},
            current="other",
        )
        monkeypatch.setenv("KUBECONFIG", f"{first}::{tmp_path / 'missing'}:{second}")
        access = load_rest_config(ConfigFlags())
        assert (access.server.url, token(access)) == ("https://first:1", "Bearer from-second")
        other = load_rest_config(ConfigFlags(context="other"))
        assert (other.server.url, other.namespace) == ("https://second:2", "ns2")

    def test_the_flag_takes_precedence_over_the_variable(
        self, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig.write(tmp_path / "env")))
        assert load_rest_config(ConfigFlags(str(two))).server.url == "https://one:1"

    def test_relative_certificates_are_relative_to_their_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        users = {"u1": {"client-certificate": "me.crt", "client-key": "me.key"}}
        for name in ("me.crt", "me.key"):
            (tmp_path / name).write_text(name)
        monkeypatch.chdir("/")
        file = kubeconfig.write(tmp_path / "c", clusters={"c1": "https://127.0.0.1:1"}, users=users)
        assert (
            load_rest_config(ConfigFlags(str(file))).credentials.auth_headers().certificate
            == b"me.crt\nme.key"
        )


@pytest.mark.parametrize(
    ("flags", "current", "message"),
    [
        ({"context": "nope"}, "main", "nope"),
        ({"cluster": "nope"}, "main", "nope"),
        ({"user": "nope"}, "main", "nope"),
        ({}, "gone", "gone"),
        ({}, None, "no current-context"),
    ],
)
def test_what_the_file_does_not_have(
    tmp_path: Path, flags: dict[str, str], current: str | None, message: str
) -> None:
    file = kubeconfig.write(tmp_path / "config", current=current)
    with pytest.raises(ClusterUnreachableError) as caught:
        load_rest_config(ConfigFlags(kubeconfig=str(file), **flags))  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert caught.value.exit_code == 3
    assert "kubectl config" in caught.value.hint


@pytest.mark.parametrize(
    "content", ["", "[]", "just text", "{", "\x00\x01", "clusters: 7\ncontexts: x", "a: &x [*x]"]
)
def test_files_that_are_no_kubeconfig(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    with pytest.raises(ClusterUnreachableError) as caught:
        load_rest_config(ConfigFlags(kubeconfig=str(file)))
    assert "\n" not in str(caught.value)
    assert context_namespace(ConfigFlags(kubeconfig=str(file))) == "default"


def test_a_binary_file_is_no_kubeconfig(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_bytes(b"\xff\xfe\x00\x80binary")
    with pytest.raises(ClusterUnreachableError):
        load_rest_config(ConfigFlags(kubeconfig=str(file)))
    assert context_namespace(ConfigFlags(kubeconfig=str(file))) == "default"


class TestNoFile:
    def test_nothing_at_all(self) -> None:
        with pytest.raises(ClusterUnreachableError, match="no cluster to talk to"):
            load_rest_config(ConfigFlags())

    def test_a_missing_file_is_named(self) -> None:
        with pytest.raises(ClusterUnreachableError, match="/nope/config"):
            load_rest_config(ConfigFlags(kubeconfig="/nope/config"))

    def test_a_server_and_a_token_are_enough(self) -> None:
        access = load_rest_config(ConfigFlags(server="https://flag:1", token="t"))
        assert (access.server.url, token(access)) == ("https://flag:1", "Bearer t")

    def test_a_missing_file_is_an_error_despite_other_credentials(
        self, pod: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As with kubectl: a mistyped --kubeconfig must not end in another cluster."""
        for connection in (
            ConfigFlags(kubeconfig="/nope/config"),
            ConfigFlags(kubeconfig="/nope/config", server="https://flag:1"),
        ):
            with pytest.raises(ClusterUnreachableError, match="/nope/config"):
                load_rest_config(connection)

    @pytest.fixture
    def pod(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The files and variables of a pod's service account."""
        account = tmp_path / "serviceaccount"
        account.mkdir()
        (account / "token").write_text("pod-token")
        (account / "namespace").write_text("pod-ns\n")
        (account / "ca.crt").write_text("certificate")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        monkeypatch.setattr(config, "SERVICE_ACCOUNT", account)
        return account

    def test_in_a_pod(self, pod: Path) -> None:
        access = load_rest_config(ConfigFlags())
        assert access.server.url == "https://10.96.0.1:443"
        assert access.namespace == "pod-ns"
        assert token(access) == "Bearer pod-token"
        assert access.server.authority == b"certificate"

    def test_in_a_pod_whose_account_has_no_certificate(self, pod: Path) -> None:
        """Then it is this machine that says whom to trust, as with kubectl."""
        (pod / "ca.crt").unlink()
        assert load_rest_config(ConfigFlags()).server.authority == b""

    @pytest.mark.parametrize("part", ["HOST", "PORT"])
    def test_half_of_a_pod_is_none(
        self, pod: Path, monkeypatch: pytest.MonkeyPatch, part: str
    ) -> None:
        monkeypatch.delenv(f"KUBERNETES_SERVICE_{part}")
        with pytest.raises(ClusterUnreachableError, match="no cluster to talk to"):
            load_rest_config(ConfigFlags())

    def test_in_a_pod_of_ipv6(self, pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
        assert load_rest_config(ConfigFlags()).server.url == "https://[fd00::1]:443"

    def test_flags_in_a_pod(self, pod: Path, tmp_path: Path) -> None:
        authority = tmp_path / "ca.pem"
        authority.write_text("another certificate")
        access = load_rest_config(
            ConfigFlags(token="given", certificate_authority=str(authority), as_user="jane")
        )
        assert token(access) == "Bearer given"
        assert access.server.authority == b"another certificate"
        assert access.impersonation == (("Impersonate-User", "jane"),)

    def test_another_namespace_in_a_pod(self, pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POD_NAMESPACE", "told")
        assert (
            load_rest_config(ConfigFlags()).namespace == context_namespace(ConfigFlags()) == "told"
        )
        assert load_rest_config(ConfigFlags(namespace="mine")).namespace == "mine"

    @pytest.mark.parametrize("content", ["", "contexts: []", "clusters: []\nusers: []"])
    def test_a_kubeconfig_that_chooses_nothing_leaves_it_to_the_pod(
        self, pod: Path, tmp_path: Path, content: str
    ) -> None:
        file = tmp_path / ".kube" / "config"
        file.parent.mkdir()
        file.write_text(content)
        assert load_rest_config(ConfigFlags()).server.url == "https://10.96.0.1:443"

    def test_a_context_without_a_namespace_has_the_pods(self, pod: Path, tmp_path: Path) -> None:
        kubeconfig.write(tmp_path / ".kube" / "config")
        assert (
            load_rest_config(ConfigFlags()).namespace
            == context_namespace(ConfigFlags())
            == "pod-ns"
        )

    def test_a_kubeconfig_takes_precedence_over_the_pods_credentials(
        self, pod: Path, tmp_path: Path
    ) -> None:
        kubeconfig.write(tmp_path / ".kube" / "config", clusters={"c1": "https://home:1"})
        assert load_rest_config(ConfigFlags()).server.url == "https://home:1"


class TestCredentialPlugin:
    def test_its_token_is_used_and_it_gets_arguments_and_variables(self, tmp_path: Path) -> None:
        body = f"echo \"$1 $WHO\" > {tmp_path}/asked; echo '{CREDENTIAL}'"
        users = {"u1": kubeconfig.plugin(kubeconfig.script(tmp_path / "p", body), WHO="me")}
        access = load_rest_config(
            ConfigFlags(str(kubeconfig.write(tmp_path / "config", users=users)))
        )
        assert token(access) == "Bearer from-plugin"
        assert (tmp_path / "asked").read_text() == "get-token me\n"

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("echo 'please log in' >&2; exit 7", "please log in"),
            ("echo 'no json'", ""),
            ("echo '{}'", ""),
        ],
        ids=["fails", "no json", "no credential"],
    )
    def test_a_failed_plugin_is_a_one_line_error(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str], body: str, message: str
    ) -> None:
        users = {"u1": kubeconfig.plugin(kubeconfig.script(tmp_path / "p", body))}
        with pytest.raises(ClusterUnreachableError) as caught:
            load_rest_config(ConfigFlags(str(kubeconfig.write(tmp_path / "config", users=users))))
        assert "credential plugin failed" in caught.value.message
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "Traceback" not in capfd.readouterr().err

    def test_a_missing_one(self, tmp_path: Path) -> None:
        users = {"u1": kubeconfig.plugin(tmp_path / "nope")}
        with pytest.raises(ClusterUnreachableError, match="credential plugin failed"):
            load_rest_config(ConfigFlags(str(kubeconfig.write(tmp_path / "config", users=users))))

    def test_a_given_token_spares_it(self, tmp_path: Path) -> None:
        users = {"u1": kubeconfig.plugin(kubeconfig.script(tmp_path / "p", "exit 1"))}
        file = kubeconfig.write(tmp_path / "config", users=users)
        assert token(load_rest_config(ConfigFlags(str(file), token="given"))) == "Bearer given"


class TestImpersonation:
    def test_user_and_groups(self, two: Path) -> None:
        access = load_rest_config(ConfigFlags(str(two), as_user="jane", as_groups=("dev", "ops")))
        assert access.impersonation == (
            ("Impersonate-User", "jane"),
            ("Impersonate-Group", "dev"),
            ("Impersonate-Group", "ops"),
        )

    def test_a_group_without_a_user_is_wrong_usage(self, two: Path) -> None:
        with pytest.raises(UsageError, match="--as-group requires --as"):
            load_rest_config(ConfigFlags(str(two), as_groups=("dev",)))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("0", None),
        ("30", 30.0),
        ("1.5", 1.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1m30s", 90.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
    ],
)
def test_durations(text: str | None, seconds: float | None) -> None:
    assert parse_timeout(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1s", "30 s", "5d", "1m 30s", "s", "1:30", "infinity"])
def test_no_durations(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        parse_timeout(text)


class TestContextNamespace:
    """The light way to the namespace, which loads no Kubernetes client, agrees with the full."""

    @pytest.mark.parametrize("flags", [{}, {"context": "other"}, {"namespace": "mine"}])
    def test_it_agrees(self, two: Path, flags: dict[str, str]) -> None:
        connection = ConfigFlags(kubeconfig=str(two), **flags)  # type: ignore[arg-type]
        assert context_namespace(connection) == load_rest_config(connection).namespace

    def test_over_a_list_of_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = kubeconfig.write(tmp_path / "1", contexts={}, current="there")
        second = kubeconfig.write(
            tmp_path / "2", contexts={"there": ("c1", "u1", "ns2")}, current="main"
        )
        monkeypatch.setenv("KUBECONFIG", f"{first}:{second}")
        assert (
            context_namespace(ConfigFlags()) == load_rest_config(ConfigFlags()).namespace == "ns2"
        )

    @pytest.mark.parametrize(
        "connection", [ConfigFlags(), ConfigFlags(kubeconfig="/nope"), ConfigFlags(context="x")]
    )
    def test_without_a_file(self, connection: ConfigFlags) -> None:
        assert context_namespace(connection) == "default"

    @pytest.mark.parametrize(
        "content",
        ["contexts: 7", "contexts: [7]", "contexts: [{name: main, context: x}]", "contexts: [{}]"],
    )
    def test_odd_files_do_not_stop_a_dry_run(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "config"
        file.write_text(f"current-context: main\n{content}\n")
        assert context_namespace(ConfigFlags(kubeconfig=str(file))) == "default"


def test_every_failure_is_a_fluid_model_error() -> None:
    assert issubclass(ClusterUnreachableError, FluidModelError)
