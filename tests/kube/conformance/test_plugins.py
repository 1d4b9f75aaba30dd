"""Credential plugins: how they are run, what they are told, and what they may answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kube.conformance.comparison import Comparison
from tests.kube.conformance.pki import CLIENT

V1 = "client.authentication.k8s.io/v1"
BETA = "client.authentication.k8s.io/v1beta1"


def answer(version: str = V1, **status: Any) -> str:
    credential = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    return f"cat <<'END'\n{json.dumps(credential)}\nEND"


def test_a_token(comparison: Comparison) -> None:
    comparison.config(comparison.plugin(answer(token="of-the-plugin")))
    assert comparison.assert_same_request().header("authorization") == ["Bearer of-the-plugin"]


def test_a_certificate(comparison: Comparison) -> None:
    pair = {
        "clientCertificateData": comparison.pki.client.read_text(),
        "clientKeyData": comparison.pki.client_key.read_text(),
    }
    comparison.config(comparison.plugin(answer(**pair)))
    assert comparison.assert_same_request().certificate == CLIENT


def test_yaml(comparison: Comparison) -> None:
    body = f"printf 'apiVersion: {V1}\\nkind: ExecCredential\\nstatus: {{token: t}}\\n'"
    comparison.config(comparison.plugin(body))
    comparison.assert_same_request()


class TestInteractiveMode:
    @pytest.mark.parametrize(
        ("version", "mode"), [(V1, "Never"), (V1, "IfAvailable"), (BETA, None), (BETA, "Never")]
    )
    def test_taken(self, comparison: Comparison, version: str, mode: str | None) -> None:
        body = answer(version, token="t")
        comparison.config(comparison.plugin(body, apiVersion=version, interactiveMode=mode))
        comparison.assert_same_request()

    @pytest.mark.parametrize("mode", [None, ""])
    def test_v1_asks_for_one(self, comparison: Comparison, mode: str | None) -> None:
        comparison.config(comparison.plugin(answer(token="t"), interactiveMode=mode))
        comparison.assert_refused("interactiveMode must be specified", "has no interactiveMode")

    def test_of_another_kind(self, comparison: Comparison) -> None:
        comparison.config(comparison.plugin(answer(token="t"), interactiveMode="Sometimes"))
        comparison.assert_refused(
            "invalid interactiveMode", "not one of Never, IfAvailable, Always"
        )

    def test_without_a_terminal(self, comparison: Comparison) -> None:
        comparison.config(comparison.plugin(answer(token="t"), interactiveMode="Always"))
        comparison.assert_refused(
            "standard input is not a terminal", "standard input is not a terminal"
        )


class TestEntry:
    @pytest.mark.parametrize(
        ("fields", "kubectl", "ours"),
        [
            ({"command": ""}, "command must be specified", "has no command"),
            ({"apiVersion": ""}, "apiVersion must be specified", "no apiVersion"),
            ({"apiVersion": V1 + "alpha1"}, "invalid apiVersion", "v1alpha1"),
            ({"env": [{"value": "x"}]}, "env variable name", "variable without a name"),
            ({"command": "no-such-plugin"}, "not found", "is not on PATH"),
        ],
        ids=str,
    )
    def test_that_cannot_work(
        self, comparison: Comparison, fields: dict[str, Any], kubectl: str, ours: str
    ) -> None:
        comparison.config(comparison.plugin(answer(token="t"), **fields))
        comparison.assert_refused(kubectl, ours)

    def test_beside_a_provider(self, comparison: Comparison) -> None:
        provider = {"auth-provider": {"name": "oidc", "config": {}}}
        comparison.config({**comparison.plugin(answer(token="t")), **provider})
        comparison.assert_refused(
            "authProvider cannot be provided in combination", "both an auth-provider"
        )

    @pytest.mark.parametrize("name", ["./plugin.sh", "sub/../plugin.sh"])
    def test_beside_the_kubeconfig(self, comparison: Comparison, name: str) -> None:
        (comparison.folder / "sub").mkdir()
        comparison.config(comparison.plugin(answer(token="t"), command=name), name="config")
        comparison.assert_same_request(KUBECONFIG=str(comparison.folder / "config"))

    def test_on_path(self, comparison: Comparison) -> None:
        comparison.config(comparison.plugin(answer(token="t"), command="plugin.sh"))
        comparison.assert_same_request(PATH=f"{comparison.folder}:/usr/bin:/bin")

    def test_on_a_path_of_its_own(self, comparison: Comparison) -> None:
        env = [{"name": "PATH", "value": f"{comparison.folder}:/usr/bin:/bin"}]
        comparison.config(comparison.plugin(answer(token="t"), command="plugin.sh", env=env))
        comparison.assert_refused("not found", "is not on PATH", PATH="/usr/bin:/bin")

    def test_arguments_and_variables(self, comparison: Comparison) -> None:
        body = f'echo "$1|$2|$WHO|$EMPTY" >> {comparison.folder}/got\n{answer(token="t")}'
        env = [{"name": "WHO", "value": "me"}, {"name": "EMPTY", "value": None}]
        comparison.config(comparison.plugin(body, args=["--x", None], env=env))
        comparison.assert_same_request(WHO="nobody")
        first, second = (comparison.folder / "got").read_text().splitlines()
        assert first == second == "--x||me|"


class TestWhatItIsTold:
    """KUBERNETES_EXEC_INFO, whose words have to be the same."""

    def told(self, comparison: Comparison, cluster: dict[str, Any], **fields: Any) -> Any:
        comparison.config(
            comparison.plugin(
                f'printf "%s" "$KUBERNETES_EXEC_INFO" > $(mktemp {comparison.folder}/told.XXXXXX)\n'
                + answer(fields.get("apiVersion", V1), token="t"),
                **fields,
            ),
            **cluster,
        )
        comparison.assert_same_request()
        one, other = (json.loads(file.read_text()) for file in comparison.folder.glob("told.*"))
        assert one == other
        return one

    @pytest.mark.parametrize("version", [V1, BETA])
    def test_without_the_cluster(self, comparison: Comparison, version: str) -> None:
        told = self.told(comparison, {}, apiVersion=version)
        assert told["spec"] == {"interactive": False}

    @pytest.mark.parametrize(
        "cluster",
        [
            {},
            {"tls_server_name": "localhost"},
            {"certificate_authority": None, "insecure_skip_tls_verify": True},
            {"disable_compression": True},
            {
                "extensions": [
                    {"name": "other", "extension": {"a": 1}},
                    {
                        "name": "client.authentication.k8s.io/exec",
                        "extension": {"apiVersion": "x/v1", "kind": "Z", "list": [1, None]},
                    },
                ]
            },
        ],
        ids=str,
    )
    def test_of_the_cluster(self, comparison: Comparison, cluster: dict[str, Any]) -> None:
        assert self.told(comparison, cluster, provideClusterInfo=True)["spec"]["cluster"]

    @pytest.mark.parametrize("path", ["/", "/k8s/clusters/c-x", "/prefix/?query#part"])
    def test_the_address_is_not_changed(self, comparison: Comparison, path: str) -> None:
        self.told(comparison, {"server": comparison.https.url + path}, provideClusterInfo=True)

    def test_nulls(self, comparison: Comparison) -> None:
        self.told(comparison, {}, args=None, env=None, provideClusterInfo=None, installHint=None)


class TestAnswers:
    @pytest.mark.parametrize(
        ("body", "kubectl", "ours"),
        [
            ("echo 'please log in' >&2; exit 7", "exit code 7", "exited with 7: please log in"),
            (
                f"echo 'WARNING: your CLI is old'\n{answer(token='secret-of-it')}",
                "decoding stdout",
                "printed 'WARNING: your CLI is old …', not JSON",
            ),
            ("echo secret-of-it", "decoding stdout", "something that is not JSON"),
            ('echo \'{"status": {"token": "secret-of-it"\'', "decoding", "is not JSON"),
            ("true", "plugin returned version", "printed nothing"),
            (answer(BETA, token="t"), "plugin returned version", "ExecCredential of"),
            ("echo '{}'", "plugin returned version", "did not print an ExecCredential"),
            (answer(), "didn't return", "neither a token nor a client certificate"),
            (
                answer(clientKeyData="x"),
                "only certificate or key",
                "an incomplete client certificate",
            ),
            (
                answer(clientKeyData="x", clientCertificateData="y"),
                "failed parsing client key/certificate",
                "cannot set up TLS",
            ),
            (
                answer(token="t", expirationTimestamp="soon"),
                "decoding",
                "an expiry that is not a time",
            ),
        ],
    )
    def test_that_are_none(
        self, comparison: Comparison, body: str, kubectl: str, ours: str
    ) -> None:
        comparison.config(comparison.plugin(body))
        refusal = comparison.assert_refused(kubectl, ours)
        assert "secret-of-it" not in refusal.message

    def test_the_plugins_messages_reach_the_user(
        self, comparison: Comparison, capsys: pytest.CaptureFixture[str]
    ) -> None:
        comparison.config(
            comparison.plugin(f"echo 'your session ends soon' >&2\n{answer(token='t')}")
        )
        comparison.assert_same_request()
        assert "your session ends soon" in capsys.readouterr().err


class TestUnauthorized:
    """A token that the server no longer takes: the plugin is asked once more, and only once.

    kubectl uses the new token for its next request. We have the one that was refused made again, so
    that not every first command after a night fails.
    """

    def counting(self, comparison: Comparison) -> str:
        count = comparison.folder / "runs"
        return f"n=$(wc -l < {count} | tr -d ' ')\n" + answer(token="TOKEN").replace(
            "'END'", "END"
        ).replace("TOKEN", "tok$n")

    def test_the_next_one_is_taken(self, comparison: Comparison) -> None:
        comparison.https.wants = "Bearer tok2"
        comparison.config(comparison.plugin(self.counting(comparison)))
        expected, ours = comparison.both((), {})
        assert (expected.runs, ours.runs) == (2, 2)
        assert expected.requests[0] == ours.requests[0]
        assert ours.worked
        assert [request.header("authorization") for request in ours.requests] == [
            ["Bearer tok1"],
            ["Bearer tok2"],
        ]

    def test_nor_is_the_next(self, comparison: Comparison) -> None:
        comparison.https.wants = "Bearer nobody"
        comparison.config(comparison.plugin(self.counting(comparison)))
        refusal = comparison.assert_refused(
            "(?i)unauthorized|logged in|provide credentials", "rejects", arrives=True
        )
        assert refusal.runs == 2

    def test_a_token_of_the_kubeconfig(self, comparison: Comparison) -> None:
        comparison.https.wants = "Bearer other"
        comparison.config({"token": "t"})
        refusal = comparison.assert_refused("", "rejects these credentials", arrives=True)
        assert len(refusal.requests) == 1

    def test_a_token_that_arrives_expired_is_sent(self, comparison: Comparison) -> None:
        """The clock that is wrong may be ours."""
        body = answer(token="t", expirationTimestamp="2020-01-01T00:00:00Z")
        comparison.config(comparison.plugin(body))
        expected, ours = comparison.both((), {})
        assert expected.worked
        assert ours.worked
        assert expected.requests == ours.requests

    def test_the_time_of_the_end_is_reported(self, comparison: Comparison) -> None:
        comparison.https.wants = "Bearer other"
        comparison.config(
            comparison.plugin(answer(token="t", expirationTimestamp="2020-01-01T00:00:00Z"))
        )
        comparison.assert_refused("", "expired on 2020-01-01 00:00 UTC", arrives=True)


class TestProvider:
    def test_one_that_kubectl_has_no_longer(self, comparison: Comparison) -> None:
        comparison.config({"auth-provider": {"name": "gcp", "config": {}}})
        comparison.assert_refused(
            "gcp auth plugin has been removed", "the auth provider 'gcp' is supported neither"
        )

    @pytest.mark.parametrize("what", ["idp-issuer-url", "client-id"])
    def test_it_is_checked_together_with_a_token(self, comparison: Comparison, what: str) -> None:
        config = {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "c"}
        del config[what]
        comparison.config({"token": "t", "auth-provider": {"name": "oidc", "config": config}})
        comparison.assert_refused(f"Must provide {what}", f"no {what}")

    def test_a_token_takes_precedence_over_it(self, comparison: Comparison) -> None:
        config = {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "c"}
        comparison.config({"token": "t", "auth-provider": {"name": "oidc", "config": config}})
        comparison.assert_same_request()

    def test_oidc(self, comparison: Comparison) -> None:
        header = "eyJhbGciOiJub25lIn0"
        token = f"{header}.eyJleHAiOjQxMDI0NDQ4MDB9."  # exp: 2100-01-01
        config = {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "c", "id-token": token}
        comparison.config({"auth-provider": {"name": "oidc", "config": config}})
        assert comparison.assert_same_request().header("authorization") == [f"Bearer {token}"]

    def test_oidc_that_ended(self, comparison: Comparison) -> None:
        token = "eyJhbGciOiJub25lIn0.eyJleHAiOjE1Nzc4MzY4MDB9."  # 2020-01-01
        config = {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "c", "id-token": token}
        comparison.config({"auth-provider": {"name": "oidc", "config": config}})
        comparison.assert_refused("cannot refresh without refresh-token", "login has expired")


def test_the_folder_of_a_plugin_is_that_of_the_command(
    comparison: Comparison, tmp_path: Path
) -> None:
    comparison.config(comparison.plugin(f"pwd >> {tmp_path}/where\n{answer(token='t')}"))
    comparison.assert_same_request()
    assert len(set((tmp_path / "where").read_text().splitlines())) == 1
