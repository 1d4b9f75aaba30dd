"""Which cluster and which user: files, lists of them, contexts, and flags over them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.kube.conformance.comparison import Comparison
from tests.kube.conformance.pki import CLIENT


def named(**entries: Any) -> dict[str, Any]:
    """`cluster_x={…}` and the like, as the lists of a kubeconfig."""
    document: dict[str, Any] = {"apiVersion": "v1", "kind": "Config"}
    for key, value in entries.items():
        part, _, name = key.partition("_")
        if part == "current":
            document["current-context"] = value
        else:
            document.setdefault(f"{part}s", []).append({"name": name, part: value})
    return document


class TestLists:
    @pytest.fixture
    def cluster(self, comparison: Comparison) -> dict[str, Any]:
        return {"server": comparison.https.url, "certificate-authority": str(comparison.pki.root)}

    def listed(self, *files: Path | str) -> str:
        return os.pathsep.join(str(file) for file in files)

    def test_the_first_of_each_name_counts(
        self, comparison: Comparison, cluster: dict[str, Any]
    ) -> None:
        one = comparison.write("one", named(user_u={"token": "first"}, current="main"))
        two = comparison.write(
            "two",
            named(
                user_u={"token": "second", "as": "somebody"},
                cluster_c=cluster,
                context_main={"cluster": "c", "user": "u"},
                current="other",
            ),
        )
        paths = self.listed(one, "", comparison.folder / "missing", two, one)
        request = comparison.assert_same_request(KUBECONFIG=paths)
        assert request.header("authorization") == ["Bearer first"]
        assert request.header("impersonate-user") == []

    def test_a_current_context_may_be_anywhere(
        self, comparison: Comparison, cluster: dict[str, Any]
    ) -> None:
        one = comparison.write("one", named(cluster_c=cluster, user_u={"token": "t"}, current=""))
        two = comparison.write("two", named(context_x={"cluster": "c", "user": "u"}, current="x"))
        comparison.assert_same_request(KUBECONFIG=self.listed(one, two))

    def test_paths_are_relative_to_their_file(
        self, comparison: Comparison, cluster: dict[str, Any]
    ) -> None:
        comparison.write("far/away/ca.pem", comparison.pki.root.read_bytes())
        comparison.write("far/me.pem", comparison.pki.client.read_bytes())
        comparison.write("far/me.key", comparison.pki.client_key.read_bytes())
        comparison.write("far/token", "t")
        user = {"client-certificate": "me.pem", "client-key": "me.key", "tokenFile": "./token"}
        one = comparison.write(
            "far/away/one", named(cluster_c={**cluster, "certificate-authority": "ca.pem"})
        )
        comparison.write(
            "far/two",
            named(user_u=user, context_x={"cluster": "c", "user": "u"}, current="x"),
        )
        assert (
            comparison.assert_same_request(KUBECONFIG=self.listed(one, "far/two")).certificate
            == CLIENT
        )

    def test_the_flag_takes_precedence_over_the_list(self, comparison: Comparison) -> None:
        comparison.config({"token": "of-the-list"}, name="list")
        file = comparison.config({"token": "of-the-flag"}, name="flag")
        request = comparison.assert_same_request(
            f"--kubeconfig={file}", KUBECONFIG=str(comparison.folder / "list")
        )
        assert request.header("authorization") == ["Bearer of-the-flag"]

    def test_the_flag_is_no_list(self, comparison: Comparison) -> None:
        file = comparison.config(name="one")
        comparison.assert_refused(
            "no such file", "there is no kubeconfig at", f"--kubeconfig={file}:{file}"
        )

    def test_a_flag_that_names_nothing(self, comparison: Comparison) -> None:
        comparison.config()
        comparison.assert_refused(
            "no such file", "there is no kubeconfig at /nope", "--kubeconfig=/nope"
        )

    def test_a_folder_in_the_list(self, comparison: Comparison) -> None:
        comparison.config()
        paths = self.listed(comparison.folder, comparison.folder / ".kube/config")
        comparison.assert_refused("is a directory", "Is a directory", KUBECONFIG=paths)

    def test_an_empty_file_in_the_list(self, comparison: Comparison) -> None:
        comparison.config()
        empty = comparison.write("empty", "")
        comparison.assert_same_request(
            KUBECONFIG=self.listed(empty, comparison.folder / ".kube/config")
        )


class TestChoice:
    @pytest.fixture
    def several(self, comparison: Comparison) -> None:
        good = {"server": comparison.https.url, "certificate-authority": str(comparison.pki.root)}
        comparison.write(
            ".kube/config",
            named(
                cluster_good=good,
                cluster_bad={"server": "https://127.0.0.1:1"},
                user_one={"token": "one"},
                user_two={"token": "two"},
                context_main={"cluster": "bad", "user": "one"},
                context_other={"cluster": "good", "user": "two"},
                context_half={"cluster": "good"},
                current="main",
            ),
        )

    @pytest.mark.usefixtures("several")
    @pytest.mark.parametrize(
        "flags",
        [
            ("--context=other",),
            ("--cluster=good",),
            ("--cluster=good", "--user=two"),
            ("--context=other", "--user=one"),
            ("--context=half", "--user=one"),
            ("--context=half", "--token=t"),
        ],
        ids=str,
    )
    def test_by_flags(self, comparison: Comparison, flags: tuple[str, ...]) -> None:
        comparison.assert_same_request(*flags)

    @pytest.mark.usefixtures("several")
    @pytest.mark.parametrize("what", ["context", "cluster", "user"])
    def test_what_is_not_there(self, comparison: Comparison, what: str) -> None:
        ours = f"no {what} 'nope'"
        comparison.assert_refused(
            f'{what.replace("user", "auth info")} "nope" does not exist', ours, f"--{what}=nope"
        )

    def test_a_current_context_that_is_not_there(self, comparison: Comparison) -> None:
        comparison.config()
        file = comparison.folder / ".kube/config"
        file.write_text(file.read_text().replace("current-context: main", "current-context: x"))
        comparison.assert_refused("context was not found", "no context 'x'")

    def test_server_and_token_without_a_file(self, comparison: Comparison) -> None:
        flags = (
            f"--server={comparison.https.url}",
            f"--certificate-authority={comparison.pki.root}",
        )
        comparison.assert_same_request(*flags, "--token=t")

    def test_the_server_flag_overrides_the_contexts(self, comparison: Comparison) -> None:
        comparison.config(server="https://127.0.0.1:1")
        comparison.assert_same_request(f"--server={comparison.https.url}")


class TestContent:
    """What kubectl cannot read it refuses, even where the entry is not the one that is used."""

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("token", 987654),
            ("token", True),
            ("as", 7),
            ("as-groups", "viewers"),
            ("as-groups", [1]),
            ("as-user-extra", {"k": "v"}),
            ("as-user-extra", ["k"]),
            ("client-key-data", "no base64!"),
            ("tokenFile", 1.5),
            ("exec", "command"),
            ("exec", {"command": "x", "args": ["--v", 1.10]}),
            ("exec", {"command": "x", "args": ["--on", True]}),
            ("exec", {"command": "x", "env": [{"name": "A", "value": True}]}),
            ("exec", {"command": "x", "env": {"A": "b"}}),
            ("exec", {"command": "x", "provideClusterInfo": "yes"}),
            ("auth-provider", {"name": "oidc", "config": {"a": 1}}),
        ],
        ids=lambda value: value if isinstance(value, str) else type(value).__name__,
    )
    def test_of_a_user(self, comparison: Comparison, field: str, value: Any) -> None:
        document = self.written(comparison)
        document["users"].append({"name": "unused", "user": {field: value}})
        comparison.write(".kube/config", document)
        message = comparison.assert_refused(
            "error loading config file", f"{field}.* of the user 'unused'"
        ).message
        assert "987654" not in message

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("server", 1),
            ("insecure-skip-tls-verify", "true"),
            ("certificate-authority-data", "%%%"),
            ("certificate-authority-data", 7),
            ("disable-compression", 1),
            ("proxy-url", []),
            ("extensions", {}),
        ],
        ids=str,
    )
    def test_of_a_cluster(self, comparison: Comparison, field: str, value: Any) -> None:
        document = self.written(comparison)
        document["clusters"].append({"name": "unused", "cluster": {field: value}})
        comparison.write(".kube/config", document)
        comparison.assert_refused("error loading config file", f"{field}.* of the cluster 'unused'")

    @pytest.mark.parametrize("part", ["clusters", "users", "contexts"])
    def test_a_duplicate_name(self, comparison: Comparison, part: str) -> None:
        document = self.written(comparison)
        document[part] *= 2
        comparison.write(".kube/config", document)
        comparison.assert_refused("duplicate name", f"two {part} with the name")

    @pytest.mark.parametrize("change", [{"kind": "Pod"}, {"apiVersion": "v2"}, {"clusters": {}}])
    def test_another_kind(self, comparison: Comparison, change: dict[str, Any]) -> None:
        comparison.write(".kube/config", {**self.written(comparison), **change})
        comparison.assert_refused(
            "error loading config file|no kind|unable to decode", "cannot read the kube"
        )

    def test_nothing_but_the_lists(self, comparison: Comparison) -> None:
        document = self.written(comparison)
        comparison.write(".kube/config", {**document, "apiVersion": None, "kind": None})
        comparison.assert_same_request()

    def test_unknown_fields(self, comparison: Comparison) -> None:
        document = self.written(comparison)
        document["users"][0]["user"] |= {"colour": 7, "Token": "x"}
        document["preferences"] = {"colors": True}
        document["extensions"] = [{"name": "x", "extension": {"a": 1}}]
        comparison.write(".kube/config", document)
        comparison.assert_same_request()

    def test_nulls_are_nothing(self, comparison: Comparison) -> None:
        comparison.config(
            dict.fromkeys(
                ("tokenFile", "as", "as-groups", "exec", "auth-provider", "client-key-data")
            )
            | {"token": "t"},
            extensions=None,
            proxy_url="",
            tls_server_name="",
        )
        comparison.assert_same_request()

    def test_texts_that_yaml_parses_as_times(self, comparison: Comparison) -> None:
        document = self.written(comparison)
        text = str(comparison.write(".kube/config", document).read_text())
        text = text.replace("token: of-the-user", "token: 2026-01-02")
        comparison.write(".kube/config", text)
        assert comparison.assert_same_request().header("authorization") == ["Bearer 2026-01-02"]

    @pytest.mark.parametrize("word", ["n", "Y", "yes", "Off", "null", "1e3", "0o17", "~"])
    def test_tokens_that_yaml_does_not_parse_as_strings(
        self, comparison: Comparison, word: str
    ) -> None:
        text = comparison.config().read_text().replace("token: of-the-user", f"token: {word}")
        comparison.write(".kube/config", text)
        expected, ours = comparison.both(("--username=me",), {})
        assert ours.worked is expected.worked
        assert ours.requests == expected.requests

    def test_json(self, comparison: Comparison) -> None:
        import json

        comparison.write(".kube/config", json.dumps(self.written(comparison)))
        comparison.assert_same_request()

    def written(self, comparison: Comparison) -> dict[str, Any]:
        import yaml

        document: dict[str, Any] = yaml.safe_load(comparison.config().read_text())
        return document


class TestAddress:
    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/k8s/clusters/c-x",
            "/k8s/clusters/c-x/",
            "/a//b/../c/",
            "/k8s/clusters/c%3Am-x",
            "/with%20space/~me/(x)",
            "/prefix?query=1#fragment",
        ],
    )
    def test_paths(self, comparison: Comparison, path: str) -> None:
        comparison.config(server=comparison.https.url + path)
        comparison.assert_same_request()

    def test_capitals(self, comparison: Comparison) -> None:
        comparison.config(server=comparison.https.url.replace("https", "HTTPS"))
        comparison.assert_same_request()

    def test_a_name_and_password(self, comparison: Comparison) -> None:
        url = comparison.https.url.replace("//", "//me:p%40ss@")
        comparison.config({}, server=url)
        expected, ours = comparison.both(("--token=t",), {})
        assert expected.worked
        assert ours.requests == expected.requests

    def test_a_name_and_password_alone(self, comparison: Comparison) -> None:
        comparison.plain({}, server=comparison.http.url.replace("//", "//me:p%40ss@"))
        assert comparison.assert_same_request().header("authorization")

    @pytest.mark.parametrize("more", [{}, {"insecure_skip_tls_verify": True}, "ca"], ids=str)
    def test_without_a_scheme_it_is_plain_http(self, comparison: Comparison, more: Any) -> None:
        """Whatever else the entry says; and so no token is sent."""
        more_flags = {"certificate_authority": str(comparison.pki.root)} if more == "ca" else more
        comparison.plain(server=comparison.http.url.removeprefix("http://"), **more_flags)
        assert comparison.assert_same_request().header("authorization") == []

    @pytest.mark.parametrize(
        "server", ["127.0.0.1:1/prefix", "ftp://127.0.0.1:1", "https://", "https://h:port", "a b"]
    )
    def test_no_address(self, comparison: Comparison, server: str) -> None:
        comparison.config(server=server)
        comparison.assert_refused("", "is not a URL")

    def test_the_standard_port_is_in_the_host(self, comparison: Comparison) -> None:
        from tests.proxyserver import connect_proxy

        with connect_proxy(comparison.https.server_port) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            comparison.config(server="https://api.example:443", proxy_url=url)
            assert comparison.assert_same_request().host == "api.example:443"


class TestTimeout:
    @pytest.mark.parametrize("text", ["5", "5s", "1m30s", "1h", "0", "500ms", "1.5h"])
    def test_durations(self, comparison: Comparison, text: str) -> None:
        comparison.config()
        comparison.assert_same_request(f"--request-timeout={text}")

    @pytest.mark.parametrize("text", ["soon", "5 s", "5d"])
    def test_no_durations(self, comparison: Comparison, text: str) -> None:
        comparison.config()
        comparison.assert_refused(
            "(?i)invalid timeout", "is not a duration", f"--request-timeout={text}"
        )
