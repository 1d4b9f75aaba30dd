"""Who the API server sees: tokens, names and passwords, certificates, and as whom they act."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.kube.conformance.comparison import Comparison
from tests.kube.conformance.pki import CLIENT


def test_a_token(comparison: Comparison) -> None:
    comparison.config({"token": "t"})
    assert comparison.assert_same_request().header("authorization") == ["Bearer t"]


class TestImpersonation:
    FULL: ClassVar[dict[str, Any]] = {
        "token": "t",
        "as": "readonly-bot",
        "as-groups": ["viewers", "drill"],
        "as-uid": "42",
        "as-user-extra": {"reason": ["drill", "night"], "acme.com/Project": ["a b"]},
    }

    @pytest.mark.parametrize(
        ("user", "flags"),
        [
            ({"as": "bot"}, ()),
            (FULL, ()),
            (FULL, ("--as=somebody",)),
            (FULL, ("--as-group=others",)),
            (FULL, ("--as-uid=7", "--as-user-extra=reason=x", "--as-user-extra=more=a=b")),
            ({"token": "t"}, ("--as=bot", "--as-group=a", "--as-group=b", "--as-uid=1")),
            ({"token": "t"}, ("--as=bot", "--as-user-extra=scopes=view", "--as-user-extra=no")),
            ({"token": "t", "as": "jürgen", "as-groups": ["größe", ""]}, ()),
            ({"token": "t", "as": "system:serviceaccount:ns:name"}, ()),
            ({"token": "t", "as": "", "as-groups": [], "as-user-extra": None}, ()),
            ({"token": "t", "as": "bot", "as-user-extra": {"k": []}}, ()),
        ],
        ids=str,
    )
    def test_as_somebody(
        self, comparison: Comparison, user: dict[str, Any], flags: tuple[str, ...]
    ) -> None:
        comparison.config({"token": "t", **user})
        comparison.assert_same_request(*flags)

    @pytest.mark.parametrize(
        ("user", "flags"),
        [
            ({"as-groups": ["a"]}, ()),
            ({"as-uid": "1"}, ()),
            ({"as-user-extra": {"a": ["b"]}}, ()),
            ({}, ("--as-group=a",)),
            ({}, ("--as-uid=a",)),
            ({}, ("--as-user-extra=a=b",)),
        ],
        ids=str,
    )
    def test_without_a_user_is_refused(
        self, comparison: Comparison, user: dict[str, Any], flags: tuple[str, ...]
    ) -> None:
        comparison.config({"token": "t", **user})
        comparison.assert_refused("without impersonating a user", "a user", *flags)

    def test_over_plain_http_too(self, comparison: Comparison) -> None:
        comparison.plain(self.FULL)
        assert comparison.assert_same_request().header("impersonate-user") == ["readonly-bot"]


class TestOrder:
    """What goes first where a user has several ways to log in."""

    @pytest.fixture
    def file(self, comparison: Comparison) -> Path:
        return comparison.write("token", "  of-the-file\n")

    def certificate(self, comparison: Comparison) -> dict[str, Any]:
        pki = comparison.pki
        return {"client-certificate": str(pki.client), "client-key": str(pki.client_key)}

    def test_a_file_before_a_token(self, comparison: Comparison, file: Path) -> None:
        comparison.config({"token": "of-the-user", "tokenFile": str(file)})
        assert comparison.assert_same_request().header("authorization") == ["Bearer of-the-file"]

    def test_a_token_where_the_file_is_not_there(self, comparison: Comparison) -> None:
        comparison.config({"token": "of-the-user", "tokenFile": "/nope"})
        comparison.assert_same_request()

    def test_a_file_before_the_flag(self, comparison: Comparison, file: Path) -> None:
        comparison.config({"tokenFile": str(file)})
        comparison.assert_same_request("--token=of-the-flag")

    def test_the_flag_before_a_token(self, comparison: Comparison) -> None:
        comparison.config()
        assert comparison.assert_same_request("--token=of-the-flag").header("authorization") == [
            "Bearer of-the-flag"
        ]

    def test_a_file_that_is_not_there(self, comparison: Comparison) -> None:
        comparison.config({"tokenFile": "/nope/token"})
        comparison.assert_refused("no such file", "No such file")

    def test_an_empty_file(self, comparison: Comparison) -> None:
        file = comparison.write("token", "\n")
        comparison.config({"tokenFile": str(file)})
        comparison.assert_refused("invalid header field value", "is empty")

    def test_name_and_password(self, comparison: Comparison) -> None:
        comparison.config({"username": "me", "password": "pass:word"})
        pair = base64.b64encode(b"me:pass:word").decode()
        assert comparison.assert_same_request().header("authorization") == [f"Basic {pair}"]

    def test_a_name_without_a_password(self, comparison: Comparison) -> None:
        comparison.config({"username": "me"})
        comparison.assert_same_request()

    def test_name_and_password_by_flags(self, comparison: Comparison) -> None:
        comparison.config({"username": "me", "password": "x"})
        comparison.assert_same_request("--username=you", "--password=word")

    @pytest.mark.parametrize(
        ("user", "flags"),
        [
            ({"token": "t", "username": "me", "password": "p"}, ()),
            ({"username": "me", "password": "p"}, ("--token=t",)),
            ({"token": "t"}, ("--username=me",)),
        ],
        ids=str,
    )
    def test_two_ways_at_once(
        self, comparison: Comparison, user: dict[str, Any], flags: tuple[str, ...]
    ) -> None:
        comparison.config(user)
        comparison.assert_refused(
            "more than one authentication method", "both a token and a name", *flags
        )

    def test_a_certificate(self, comparison: Comparison) -> None:
        comparison.config(self.certificate(comparison))
        assert comparison.assert_same_request().certificate == CLIENT

    def test_a_certificate_by_flags(self, comparison: Comparison) -> None:
        comparison.config({"token": "t"})
        pki = comparison.pki
        flags = (f"--client-certificate={pki.client}", f"--client-key={pki.client_key}")
        assert comparison.assert_same_request(*flags).certificate == CLIENT

    def test_flags_replace_the_data_of_a_kubeconfig(self, comparison: Comparison) -> None:
        junk = base64.b64encode(b"junk").decode()
        comparison.config({"client-certificate-data": junk, "client-key-data": junk})
        pki = comparison.pki
        flags = (f"--client-certificate={pki.client}", f"--client-key={pki.client_key}")
        assert comparison.assert_same_request(*flags).certificate == CLIENT

    @pytest.mark.parametrize("rest", [{"token": "t"}, {"username": "me", "password": "p"}], ids=str)
    def test_a_certificate_besides(self, comparison: Comparison, rest: dict[str, Any]) -> None:
        comparison.config({**self.certificate(comparison), **rest})
        request = comparison.assert_same_request()
        assert request.certificate == CLIENT
        assert request.header("authorization")

    def test_the_flag_leaves_the_certificate(self, comparison: Comparison) -> None:
        comparison.config(self.certificate(comparison))
        request = comparison.assert_same_request("--token=of-the-flag")
        assert (request.certificate, request.header("authorization")) == (
            CLIENT,
            ["Bearer of-the-flag"],
        )

    def test_a_client_key_without_a_certificate(self, comparison: Comparison) -> None:
        comparison.config({"token": "t", "client-key": str(comparison.pki.client_key)})
        comparison.assert_same_request()

    def test_a_certificate_alone(self, comparison: Comparison) -> None:
        comparison.config({"client-certificate": str(comparison.pki.client)})
        comparison.assert_refused("client-key must be specified", "no client-key")

    @pytest.mark.parametrize("what", ["client-certificate", "client-key"])
    def test_a_file_and_data(self, comparison: Comparison, what: str) -> None:
        data = base64.b64encode(comparison.pki.client.read_bytes()).decode()
        comparison.config({**self.certificate(comparison), f"{what}-data": data})
        comparison.assert_refused("are both specified", f"both {what} and {what}-data")

    def test_a_key_of_another_certificate(self, comparison: Comparison) -> None:
        comparison.config(
            {**self.certificate(comparison), "client-key": str(comparison.pki.server)}
        )
        comparison.assert_refused("does not match", "(?i)mismatch")

    @pytest.mark.parametrize("rest", [{"token": "t"}, {"username": "me"}, "certificate"], ids=str)
    def test_the_plugin_is_not_asked(self, comparison: Comparison, rest: Any) -> None:
        rest_of_user = self.certificate(comparison) if rest == "certificate" else rest
        comparison.config({**comparison.plugin("exit 1"), **rest_of_user})
        comparison.assert_same_request()

    def test_the_plugin_is_not_asked_where_a_flag_has_a_token(self, comparison: Comparison) -> None:
        comparison.config(comparison.plugin("exit 1"))
        comparison.assert_same_request("--token=t")


class TestPlainHttp:
    """What anybody on the way could read is not sent."""

    @pytest.mark.parametrize(
        ("user", "flags"),
        [
            ({"token": "secret"}, ()),
            ({"username": "me", "password": "secret"}, ()),
            ({"tokenFile": "/nope"}, ()),
            ({}, ("--token=secret",)),
            ({}, ("--username=me", "--password=secret")),
        ],
        ids=str,
    )
    def test_no_secret(
        self, comparison: Comparison, user: dict[str, Any], flags: tuple[str, ...]
    ) -> None:
        comparison.plain(user)
        assert comparison.assert_same_request(*flags).header("authorization") == []

    def test_the_plugin_is_not_asked(self, comparison: Comparison) -> None:
        comparison.plain(comparison.plugin("exit 1"))
        comparison.assert_same_request()

    def test_the_entry_is_validated_all_the_same(self, comparison: Comparison) -> None:
        comparison.plain({"token": "t", "username": "me"})
        comparison.assert_refused("more than one authentication method", "both a token and a name")

    def test_trust_does_not_matter(self, comparison: Comparison) -> None:
        comparison.plain(
            insecure_skip_tls_verify=True, certificate_authority=str(comparison.pki.root)
        )
        comparison.assert_same_request()


class TestHeaders:
    @pytest.mark.parametrize("token", ["two\nlines", "t\r\nX-Remote-User: root", "nul\0"])
    def test_a_token_that_is_no_header(self, comparison: Comparison, token: str) -> None:
        comparison.config({"token": token})
        comparison.assert_refused(
            "invalid header field value", "has a character that is invalid in a header"
        )

    def test_nor_may_a_name(self, comparison: Comparison) -> None:
        comparison.config({"token": "t", "as": "a\nImpersonate-Group: system:masters"})
        comparison.assert_refused(
            "invalid header field value", "has a character that is invalid in a header"
        )

    def test_compression(self, comparison: Comparison) -> None:
        comparison.config()
        assert comparison.assert_same_request().header("accept-encoding") == ["gzip"]

    def test_no_compression(self, comparison: Comparison) -> None:
        comparison.config()
        assert comparison.assert_same_request("--disable-compression").header(
            "accept-encoding"
        ) != ["gzip"]
