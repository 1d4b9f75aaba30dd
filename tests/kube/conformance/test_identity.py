"""Who the API server sees: tokens, names and passwords, certificates, and as whom they act."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.kube.conformance.judge import Court
from tests.kube.conformance.pki import CLIENT


def test_a_token(court: Court) -> None:
    court.config({"token": "t"})
    assert court.agree().header("authorization") == ["Bearer t"]


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
    def test_as_somebody(self, court: Court, user: dict[str, Any], flags: tuple[str, ...]) -> None:
        court.config({"token": "t", **user})
        court.agree(*flags)

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
        self, court: Court, user: dict[str, Any], flags: tuple[str, ...]
    ) -> None:
        court.config({"token": "t", **user})
        court.refuse("without impersonating a user", "a user", *flags)

    def test_over_plain_http_too(self, court: Court) -> None:
        court.plain(self.FULL)
        assert court.agree().header("impersonate-user") == ["readonly-bot"]


class TestOrder:
    """What goes first where a user has several ways to log in."""

    @pytest.fixture
    def file(self, court: Court) -> Path:
        return court.write("token", "  of-the-file\n")

    def certificate(self, court: Court) -> dict[str, Any]:
        pki = court.pki
        return {"client-certificate": str(pki.client), "client-key": str(pki.client_key)}

    def test_a_file_before_a_token(self, court: Court, file: Path) -> None:
        court.config({"token": "of-the-user", "tokenFile": str(file)})
        assert court.agree().header("authorization") == ["Bearer of-the-file"]

    def test_a_token_where_the_file_is_not_there(self, court: Court) -> None:
        court.config({"token": "of-the-user", "tokenFile": "/nope"})
        court.agree()

    def test_a_file_before_the_flag(self, court: Court, file: Path) -> None:
        court.config({"tokenFile": str(file)})
        court.agree("--token=of-the-flag")

    def test_the_flag_before_a_token(self, court: Court) -> None:
        court.config()
        assert court.agree("--token=of-the-flag").header("authorization") == ["Bearer of-the-flag"]

    def test_a_file_that_is_not_there(self, court: Court) -> None:
        court.config({"tokenFile": "/nope/token"})
        court.refuse("no such file", "No such file")

    def test_an_empty_file(self, court: Court) -> None:
        file = court.write("token", "\n")
        court.config({"tokenFile": str(file)})
        court.refuse("invalid header field value", "is empty")

    def test_name_and_password(self, court: Court) -> None:
        court.config({"username": "me", "password": "pass:word"})
        pair = base64.b64encode(b"me:pass:word").decode()
        assert court.agree().header("authorization") == [f"Basic {pair}"]

    def test_a_name_without_a_password(self, court: Court) -> None:
        court.config({"username": "me"})
        court.agree()

    def test_name_and_password_by_flags(self, court: Court) -> None:
        court.config({"username": "me", "password": "x"})
        court.agree("--username=you", "--password=word")

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
        self, court: Court, user: dict[str, Any], flags: tuple[str, ...]
    ) -> None:
        court.config(user)
        court.refuse("more than one authentication method", "both a token and a name", *flags)

    def test_a_certificate(self, court: Court) -> None:
        court.config(self.certificate(court))
        assert court.agree().certificate == CLIENT

    def test_a_certificate_by_flags(self, court: Court) -> None:
        court.config({"token": "t"})
        pki = court.pki
        flags = (f"--client-certificate={pki.client}", f"--client-key={pki.client_key}")
        assert court.agree(*flags).certificate == CLIENT

    def test_flags_replace_the_data_of_a_kubeconfig(self, court: Court) -> None:
        junk = base64.b64encode(b"junk").decode()
        court.config({"client-certificate-data": junk, "client-key-data": junk})
        pki = court.pki
        flags = (f"--client-certificate={pki.client}", f"--client-key={pki.client_key}")
        assert court.agree(*flags).certificate == CLIENT

    @pytest.mark.parametrize("rest", [{"token": "t"}, {"username": "me", "password": "p"}], ids=str)
    def test_a_certificate_besides(self, court: Court, rest: dict[str, Any]) -> None:
        court.config({**self.certificate(court), **rest})
        seen = court.agree()
        assert seen.certificate == CLIENT
        assert seen.header("authorization")

    def test_the_flag_leaves_the_certificate(self, court: Court) -> None:
        court.config(self.certificate(court))
        seen = court.agree("--token=of-the-flag")
        assert (seen.certificate, seen.header("authorization")) == (CLIENT, ["Bearer of-the-flag"])

    def test_a_client_key_without_a_certificate(self, court: Court) -> None:
        court.config({"token": "t", "client-key": str(court.pki.client_key)})
        court.agree()

    def test_a_certificate_alone(self, court: Court) -> None:
        court.config({"client-certificate": str(court.pki.client)})
        court.refuse("client-key must be specified", "no client-key")

    @pytest.mark.parametrize("what", ["client-certificate", "client-key"])
    def test_a_file_and_data(self, court: Court, what: str) -> None:
        data = base64.b64encode(court.pki.client.read_bytes()).decode()
        court.config({**self.certificate(court), f"{what}-data": data})
        court.refuse("are both specified", f"both {what} and {what}-data")

    def test_a_key_of_another_certificate(self, court: Court) -> None:
        court.config({**self.certificate(court), "client-key": str(court.pki.server)})
        court.refuse("does not match", "(?i)mismatch")

    @pytest.mark.parametrize("rest", [{"token": "t"}, {"username": "me"}, "certificate"], ids=str)
    def test_the_plugin_is_not_asked(self, court: Court, rest: Any) -> None:
        known = self.certificate(court) if rest == "certificate" else rest
        court.config({**court.plugin("exit 1"), **known})
        court.agree()

    def test_the_plugin_is_not_asked_where_a_flag_has_a_token(self, court: Court) -> None:
        court.config(court.plugin("exit 1"))
        court.agree("--token=t")


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
    def test_no_secret(self, court: Court, user: dict[str, Any], flags: tuple[str, ...]) -> None:
        court.plain(user)
        assert court.agree(*flags).header("authorization") == []

    def test_the_plugin_is_not_asked(self, court: Court) -> None:
        court.plain(court.plugin("exit 1"))
        court.agree()

    def test_the_entry_is_judged_all_the_same(self, court: Court) -> None:
        court.plain({"token": "t", "username": "me"})
        court.refuse("more than one authentication method", "both a token and a name")

    def test_trust_does_not_matter(self, court: Court) -> None:
        court.plain(insecure_skip_tls_verify=True, certificate_authority=str(court.pki.root))
        court.agree()


class TestHeaders:
    @pytest.mark.parametrize("token", ["two\nlines", "t\r\nX-Remote-User: root", "nul\0"])
    def test_a_token_that_is_no_header(self, court: Court, token: str) -> None:
        court.config({"token": token})
        court.refuse("invalid header field value", "has a character that is invalid in a header")

    def test_nor_may_a_name(self, court: Court) -> None:
        court.config({"token": "t", "as": "a\nImpersonate-Group: system:masters"})
        court.refuse("invalid header field value", "has a character that is invalid in a header")

    def test_compression(self, court: Court) -> None:
        court.config()
        assert court.agree().header("accept-encoding") == ["gzip"]

    def test_no_compression(self, court: Court) -> None:
        court.config()
        assert court.agree("--disable-compression").header("accept-encoding") != ["gzip"]
