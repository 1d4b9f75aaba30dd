"""Which cluster and which user: files, lists of them, contexts, and flags over them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.kube.conformance.judge import Court
from tests.kube.conformance.pki import CLIENT


def named(**entries: Any) -> dict[str, Any]:
    """`cluster_x={…}` and the like, as the lists of a kubeconfig."""
    found: dict[str, Any] = {"apiVersion": "v1", "kind": "Config"}
    for key, value in entries.items():
        part, _, name = key.partition("_")
        if part == "current":
            found["current-context"] = value
        else:
            found.setdefault(f"{part}s", []).append({"name": name, part: value})
    return found


class TestLists:
    @pytest.fixture
    def cluster(self, court: Court) -> dict[str, Any]:
        return {"server": court.https.url, "certificate-authority": str(court.pki.root)}

    def listed(self, *files: Path | str) -> str:
        return os.pathsep.join(str(each) for each in files)

    def test_the_first_of_each_name_counts(self, court: Court, cluster: dict[str, Any]) -> None:
        one = court.write("one", named(user_u={"token": "first"}, current="main"))
        two = court.write(
            "two",
            named(
                user_u={"token": "second", "as": "somebody"},
                cluster_c=cluster,
                context_main={"cluster": "c", "user": "u"},
                current="other",
            ),
        )
        paths = self.listed(one, "", court.folder / "missing", two, one)
        seen = court.agree(KUBECONFIG=paths)
        assert seen.header("authorization") == ["Bearer first"]
        assert seen.header("impersonate-user") == []

    def test_a_current_context_may_be_anywhere(self, court: Court, cluster: dict[str, Any]) -> None:
        one = court.write("one", named(cluster_c=cluster, user_u={"token": "t"}, current=""))
        two = court.write("two", named(context_x={"cluster": "c", "user": "u"}, current="x"))
        court.agree(KUBECONFIG=self.listed(one, two))

    def test_paths_are_relative_to_their_file(self, court: Court, cluster: dict[str, Any]) -> None:
        court.write("far/away/ca.pem", court.pki.root.read_bytes())
        court.write("far/me.pem", court.pki.client.read_bytes())
        court.write("far/me.key", court.pki.client_key.read_bytes())
        court.write("far/token", "t")
        user = {"client-certificate": "me.pem", "client-key": "me.key", "tokenFile": "./token"}
        one = court.write(
            "far/away/one", named(cluster_c={**cluster, "certificate-authority": "ca.pem"})
        )
        court.write(
            "far/two",
            named(user_u=user, context_x={"cluster": "c", "user": "u"}, current="x"),
        )
        assert court.agree(KUBECONFIG=self.listed(one, "far/two")).certificate == CLIENT

    def test_the_flag_takes_precedence_over_the_list(self, court: Court) -> None:
        court.config({"token": "of-the-list"}, name="list")
        file = court.config({"token": "of-the-flag"}, name="flag")
        seen = court.agree(f"--kubeconfig={file}", KUBECONFIG=str(court.folder / "list"))
        assert seen.header("authorization") == ["Bearer of-the-flag"]

    def test_the_flag_is_no_list(self, court: Court) -> None:
        file = court.config(name="one")
        court.refuse("no such file", "there is no kubeconfig at", f"--kubeconfig={file}:{file}")

    def test_a_flag_that_names_nothing(self, court: Court) -> None:
        court.config()
        court.refuse("no such file", "there is no kubeconfig at /nope", "--kubeconfig=/nope")

    def test_a_folder_in_the_list(self, court: Court) -> None:
        court.config()
        paths = self.listed(court.folder, court.folder / ".kube/config")
        court.refuse("is a directory", "Is a directory", KUBECONFIG=paths)

    def test_an_empty_file_in_the_list(self, court: Court) -> None:
        court.config()
        empty = court.write("empty", "")
        court.agree(KUBECONFIG=self.listed(empty, court.folder / ".kube/config"))


class TestChoice:
    @pytest.fixture
    def several(self, court: Court) -> None:
        good = {"server": court.https.url, "certificate-authority": str(court.pki.root)}
        court.write(
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
    def test_by_flags(self, court: Court, flags: tuple[str, ...]) -> None:
        court.agree(*flags)

    @pytest.mark.usefixtures("several")
    @pytest.mark.parametrize("what", ["context", "cluster", "user"])
    def test_what_is_not_there(self, court: Court, what: str) -> None:
        ours = f"no {what} 'nope'"
        court.refuse(f'{what.replace("user", "auth info")} "nope" does not exist', ours,
                     f"--{what}=nope")  # fmt: skip

    def test_a_current_context_that_is_not_there(self, court: Court) -> None:
        court.config()
        file = court.folder / ".kube/config"
        file.write_text(file.read_text().replace("current-context: main", "current-context: x"))
        court.refuse("context was not found", "no context 'x'")

    def test_server_and_token_without_a_file(self, court: Court) -> None:
        flags = (f"--server={court.https.url}", f"--certificate-authority={court.pki.root}")
        court.agree(*flags, "--token=t")

    def test_the_server_flag_overrides_the_contexts(self, court: Court) -> None:
        court.config(server="https://127.0.0.1:1")
        court.agree(f"--server={court.https.url}")


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
    def test_of_a_user(self, court: Court, field: str, value: Any) -> None:
        found = self.written(court)
        found["users"].append({"name": "unused", "user": {field: value}})
        court.write(".kube/config", found)
        words = court.refuse("error loading config file", f"{field}.* of the user 'unused'").words
        assert "987654" not in words

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
    def test_of_a_cluster(self, court: Court, field: str, value: Any) -> None:
        found = self.written(court)
        found["clusters"].append({"name": "unused", "cluster": {field: value}})
        court.write(".kube/config", found)
        court.refuse("error loading config file", f"{field}.* of the cluster 'unused'")

    @pytest.mark.parametrize("part", ["clusters", "users", "contexts"])
    def test_a_duplicate_name(self, court: Court, part: str) -> None:
        found = self.written(court)
        found[part] *= 2
        court.write(".kube/config", found)
        court.refuse("duplicate name", f"two {part} with the name")

    @pytest.mark.parametrize("change", [{"kind": "Pod"}, {"apiVersion": "v2"}, {"clusters": {}}])
    def test_another_kind(self, court: Court, change: dict[str, Any]) -> None:
        court.write(".kube/config", {**self.written(court), **change})
        court.refuse("error loading config file|no kind|unable to decode", "cannot read the kube")

    def test_nothing_but_the_lists(self, court: Court) -> None:
        found = self.written(court)
        court.write(".kube/config", {**found, "apiVersion": None, "kind": None})
        court.agree()

    def test_unknown_fields(self, court: Court) -> None:
        found = self.written(court)
        found["users"][0]["user"] |= {"colour": 7, "Token": "x"}
        found["preferences"] = {"colors": True}
        found["extensions"] = [{"name": "x", "extension": {"a": 1}}]
        court.write(".kube/config", found)
        court.agree()

    def test_nulls_are_nothing(self, court: Court) -> None:
        court.config(
            dict.fromkeys(
                ("tokenFile", "as", "as-groups", "exec", "auth-provider", "client-key-data")
            )
            | {"token": "t"},
            extensions=None,
            proxy_url="",
            tls_server_name="",
        )
        court.agree()

    def test_texts_that_yaml_parses_as_times(self, court: Court) -> None:
        found = self.written(court)
        text = str(court.write(".kube/config", found).read_text())
        text = text.replace("token: of-the-user", "token: 2026-01-02")
        court.write(".kube/config", text)
        assert court.agree().header("authorization") == ["Bearer 2026-01-02"]

    @pytest.mark.parametrize("word", ["n", "Y", "yes", "Off", "null", "1e3", "0o17", "~"])
    def test_tokens_that_yaml_does_not_parse_as_strings(self, court: Court, word: str) -> None:
        text = court.config().read_text().replace("token: of-the-user", f"token: {word}")
        court.write(".kube/config", text)
        judge, ours = court.both(("--username=me",), {})
        assert ours.worked is judge.worked
        assert ours.seen == judge.seen

    def test_json(self, court: Court) -> None:
        import json

        court.write(".kube/config", json.dumps(self.written(court)))
        court.agree()

    def written(self, court: Court) -> dict[str, Any]:
        import yaml

        found: dict[str, Any] = yaml.safe_load(court.config().read_text())
        return found


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
    def test_paths(self, court: Court, path: str) -> None:
        court.config(server=court.https.url + path)
        court.agree()

    def test_capitals(self, court: Court) -> None:
        court.config(server=court.https.url.replace("https", "HTTPS"))
        court.agree()

    def test_a_name_and_password(self, court: Court) -> None:
        url = court.https.url.replace("//", "//me:p%40ss@")
        court.config({}, server=url)
        judge, ours = court.both(("--token=t",), {})
        assert judge.worked
        assert ours.seen == judge.seen

    def test_a_name_and_password_alone(self, court: Court) -> None:
        court.plain({}, server=court.http.url.replace("//", "//me:p%40ss@"))
        assert court.agree().header("authorization")

    @pytest.mark.parametrize("more", [{}, {"insecure_skip_tls_verify": True}, "ca"], ids=str)
    def test_without_a_scheme_it_is_plain_http(self, court: Court, more: Any) -> None:
        """Whatever else the entry says; and so no token is sent."""
        known = {"certificate_authority": str(court.pki.root)} if more == "ca" else more
        court.plain(server=court.http.url.removeprefix("http://"), **known)
        assert court.agree().header("authorization") == []

    @pytest.mark.parametrize(
        "server", ["127.0.0.1:1/prefix", "ftp://127.0.0.1:1", "https://", "https://h:port", "a b"]
    )
    def test_no_address(self, court: Court, server: str) -> None:
        court.config(server=server)
        court.refuse("", "is not a URL")

    def test_the_standard_port_is_in_the_host(self, court: Court) -> None:
        from tests.proxyserver import connect_proxy

        with connect_proxy(court.https.server_port) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            court.config(server="https://api.example:443", proxy_url=url)
            assert court.agree().host == "api.example:443"


class TestTimeout:
    @pytest.mark.parametrize("text", ["5", "5s", "1m30s", "1h", "0", "500ms", "1.5h"])
    def test_durations(self, court: Court, text: str) -> None:
        court.config()
        court.agree(f"--request-timeout={text}")

    @pytest.mark.parametrize("text", ["soon", "5 s", "5d"])
    def test_no_durations(self, court: Court, text: str) -> None:
        court.config()
        court.refuse("(?i)invalid timeout", "is not a duration", f"--request-timeout={text}")
