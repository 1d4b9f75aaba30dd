"""Credential plugins: how they are run, what they are told, and what they may answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kube.conformance.judge import Court
from tests.kube.conformance.pki import CLIENT

V1 = "client.authentication.k8s.io/v1"
BETA = "client.authentication.k8s.io/v1beta1"


def answer(version: str = V1, **status: Any) -> str:
    found = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    return f"cat <<'END'\n{json.dumps(found)}\nEND"


def test_a_token(court: Court) -> None:
    court.config(court.plugin(answer(token="of-the-plugin")))
    assert court.agree().header("authorization") == ["Bearer of-the-plugin"]


def test_a_certificate(court: Court) -> None:
    pair = {
        "clientCertificateData": court.pki.client.read_text(),
        "clientKeyData": court.pki.client_key.read_text(),
    }
    court.config(court.plugin(answer(**pair)))
    assert court.agree().certificate == CLIENT


def test_yaml(court: Court) -> None:
    body = f"printf 'apiVersion: {V1}\\nkind: ExecCredential\\nstatus: {{token: t}}\\n'"
    court.config(court.plugin(body))
    court.agree()


class TestInteractiveMode:
    @pytest.mark.parametrize(
        ("version", "mode"), [(V1, "Never"), (V1, "IfAvailable"), (BETA, None), (BETA, "Never")]
    )
    def test_taken(self, court: Court, version: str, mode: str | None) -> None:
        body = answer(version, token="t")
        court.config(court.plugin(body, apiVersion=version, interactiveMode=mode))
        court.agree()

    @pytest.mark.parametrize("mode", [None, ""])
    def test_v1_asks_for_one(self, court: Court, mode: str | None) -> None:
        court.config(court.plugin(answer(token="t"), interactiveMode=mode))
        court.refuse("interactiveMode must be specified", "has no interactiveMode")

    def test_of_another_kind(self, court: Court) -> None:
        court.config(court.plugin(answer(token="t"), interactiveMode="Sometimes"))
        court.refuse("invalid interactiveMode", "not one of Never, IfAvailable, Always")

    def test_without_a_terminal(self, court: Court) -> None:
        court.config(court.plugin(answer(token="t"), interactiveMode="Always"))
        court.refuse("standard input is not a terminal", "standard input is not a terminal")


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
        self, court: Court, fields: dict[str, Any], kubectl: str, ours: str
    ) -> None:
        court.config(court.plugin(answer(token="t"), **fields))
        court.refuse(kubectl, ours)

    def test_beside_a_provider(self, court: Court) -> None:
        provider = {"auth-provider": {"name": "oidc", "config": {}}}
        court.config({**court.plugin(answer(token="t")), **provider})
        court.refuse("authProvider cannot be provided in combination", "both an auth-provider")

    @pytest.mark.parametrize("name", ["./plugin.sh", "sub/../plugin.sh"])
    def test_beside_the_kubeconfig(self, court: Court, name: str) -> None:
        (court.folder / "sub").mkdir()
        court.config(court.plugin(answer(token="t"), command=name), name="config")
        court.agree(KUBECONFIG=str(court.folder / "config"))

    def test_on_path(self, court: Court) -> None:
        court.config(court.plugin(answer(token="t"), command="plugin.sh"))
        court.agree(PATH=f"{court.folder}:/usr/bin:/bin")

    def test_on_a_path_of_its_own(self, court: Court) -> None:
        env = [{"name": "PATH", "value": f"{court.folder}:/usr/bin:/bin"}]
        court.config(court.plugin(answer(token="t"), command="plugin.sh", env=env))
        court.refuse("not found", "is not on PATH", PATH="/usr/bin:/bin")

    def test_arguments_and_variables(self, court: Court) -> None:
        body = f'echo "$1|$2|$WHO|$EMPTY" >> {court.folder}/got\n{answer(token="t")}'
        env = [{"name": "WHO", "value": "me"}, {"name": "EMPTY", "value": None}]
        court.config(court.plugin(body, args=["--x", None], env=env))
        court.agree(WHO="nobody")
        first, second = (court.folder / "got").read_text().splitlines()
        assert first == second == "--x||me|"


class TestWhatItIsTold:
    """KUBERNETES_EXEC_INFO, whose words have to be the same."""

    def told(self, court: Court, cluster: dict[str, Any], **fields: Any) -> Any:
        court.config(
            court.plugin(
                f'printf "%s" "$KUBERNETES_EXEC_INFO" > $(mktemp {court.folder}/told.XXXXXX)\n'
                + answer(fields.get("apiVersion", V1), token="t"),
                **fields,
            ),
            **cluster,
        )
        court.agree()
        one, other = (json.loads(file.read_text()) for file in court.folder.glob("told.*"))
        assert one == other
        return one

    @pytest.mark.parametrize("version", [V1, BETA])
    def test_without_the_cluster(self, court: Court, version: str) -> None:
        told = self.told(court, {}, apiVersion=version)
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
    def test_of_the_cluster(self, court: Court, cluster: dict[str, Any]) -> None:
        assert self.told(court, cluster, provideClusterInfo=True)["spec"]["cluster"]

    @pytest.mark.parametrize("path", ["/", "/k8s/clusters/c-x", "/prefix/?query#part"])
    def test_the_address_is_not_changed(self, court: Court, path: str) -> None:
        self.told(court, {"server": court.https.url + path}, provideClusterInfo=True)

    def test_nulls(self, court: Court) -> None:
        self.told(court, {}, args=None, env=None, provideClusterInfo=None, installHint=None)


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
    def test_that_are_none(self, court: Court, body: str, kubectl: str, ours: str) -> None:
        court.config(court.plugin(body))
        found = court.refuse(kubectl, ours)
        assert "secret-of-it" not in found.words

    def test_the_plugins_messages_reach_the_user(
        self, court: Court, capsys: pytest.CaptureFixture[str]
    ) -> None:
        court.config(court.plugin(f"echo 'your session ends soon' >&2\n{answer(token='t')}"))
        court.agree()
        assert "your session ends soon" in capsys.readouterr().err


class TestUnauthorized:
    """A token that the server no longer takes: the plugin is asked once more, and only once.

    kubectl uses the new token for its next request. We have the one that was refused made again, so
    that not every first command after a night fails.
    """

    def counting(self, court: Court) -> str:
        count = court.folder / "runs"
        return f"n=$(wc -l < {count} | tr -d ' ')\n" + answer(token="TOKEN").replace(
            "'END'", "END"
        ).replace("TOKEN", "tok$n")

    def test_the_next_one_is_taken(self, court: Court) -> None:
        court.https.wants = "Bearer tok2"
        court.config(court.plugin(self.counting(court)))
        judge, ours = court.both((), {})
        assert (judge.runs, ours.runs) == (2, 2)
        assert judge.seen[0] == ours.seen[0]
        assert ours.worked
        assert [seen.header("authorization") for seen in ours.seen] == [
            ["Bearer tok1"],
            ["Bearer tok2"],
        ]

    def test_nor_is_the_next(self, court: Court) -> None:
        court.https.wants = "Bearer nobody"
        court.config(court.plugin(self.counting(court)))
        found = court.refuse(
            "(?i)unauthorized|logged in|provide credentials", "rejects", arrives=True
        )
        assert found.runs == 2

    def test_a_token_of_the_kubeconfig(self, court: Court) -> None:
        court.https.wants = "Bearer other"
        court.config({"token": "t"})
        found = court.refuse("", "rejects these credentials", arrives=True)
        assert len(found.seen) == 1

    def test_a_token_that_arrives_expired_is_sent(self, court: Court) -> None:
        """The clock that is wrong may be ours."""
        body = answer(token="t", expirationTimestamp="2020-01-01T00:00:00Z")
        court.config(court.plugin(body))
        judge, ours = court.both((), {})
        assert judge.worked
        assert ours.worked
        assert judge.seen == ours.seen

    def test_the_time_of_the_end_is_reported(self, court: Court) -> None:
        court.https.wants = "Bearer other"
        court.config(court.plugin(answer(token="t", expirationTimestamp="2020-01-01T00:00:00Z")))
        court.refuse("", "expired on 2020-01-01 00:00 UTC", arrives=True)


class TestProvider:
    def test_one_that_kubectl_has_no_longer(self, court: Court) -> None:
        court.config({"auth-provider": {"name": "gcp", "config": {}}})
        court.refuse(
            "gcp auth plugin has been removed", "the auth provider 'gcp' is supported neither"
        )

    @pytest.mark.parametrize("what", ["idp-issuer-url", "client-id"])
    def test_it_is_checked_together_with_a_token(self, court: Court, what: str) -> None:
        config = {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "c"}
        del config[what]
        court.config({"token": "t", "auth-provider": {"name": "oidc", "config": config}})
        court.refuse(f"Must provide {what}", f"no {what}")

    def test_a_token_takes_precedence_over_it(self, court: Court) -> None:
        config = {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "c"}
        court.config({"token": "t", "auth-provider": {"name": "oidc", "config": config}})
        court.agree()

    def test_oidc(self, court: Court) -> None:
        header = "eyJhbGciOiJub25lIn0"
        token = f"{header}.eyJleHAiOjQxMDI0NDQ4MDB9."  # exp: 2100-01-01
        config = {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "c", "id-token": token}
        court.config({"auth-provider": {"name": "oidc", "config": config}})
        assert court.agree().header("authorization") == [f"Bearer {token}"]

    def test_oidc_that_ended(self, court: Court) -> None:
        token = "eyJhbGciOiJub25lIn0.eyJleHAiOjE1Nzc4MzY4MDB9."  # 2020-01-01
        config = {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "c", "id-token": token}
        court.config({"auth-provider": {"name": "oidc", "config": config}})
        court.refuse("cannot refresh without refresh-token", "login has expired")


def test_the_folder_of_a_plugin_is_that_of_the_command(court: Court, tmp_path: Path) -> None:
    court.config(court.plugin(f"pwd >> {tmp_path}/where\n{answer(token='t')}"))
    court.agree()
    assert len(set((tmp_path / "where").read_text().splitlines())) == 1
