"""Secrets that are planted in objects and texts do not come out, and what checks go by does."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given

from kubectl_fluidmodel.doctor import bundle
from kubectl_fluidmodel.snapshot import redact
from kubectl_fluidmodel.snapshot.redact import HIDDEN
from tests.doctor import builders as b
from tests.doctor import cases
from tests.fluid import junk

PLANTED = "Plant3d0nPurp0se/x"
"""It looks like nothing: only the name that it has gives it away."""
HUB = "hf_" + "Plant3dOnPurpose" * 2
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6I.eyJpc3MiOiJQbGFudDNkIn0.Plant3dOnPurpose"
AWS = "AKIA" + "PLANT3D0NPURP0SE"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nPlant3dOnPurpose\n-----END RSA PRIVATE KEY-----"


def encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def secret(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": data}


OBJECTS: dict[str, Any] = {
    "data of a Secret": secret(anything=encoded(PLANTED)),
    "stringData": {"kind": "Secret", "stringData": {"config.yaml": PLANTED}},
    "a variable": {"env": [{"name": "HF_TOKEN", "value": PLANTED}]},
    "a key's variable": {"env": [{"name": "STORE_KEY", "value": PLANTED}]},
    "a variable with a token": {"env": [{"name": "ANY", "value": HUB}]},
    "a variable with a URL": {"env": [{"name": "ANY", "value": f"https://u:{PLANTED}@host/x"}]},
    "an option": {"options": {"aws.secretKey": PLANTED}},
    "an argument": {"args": ["serve", "--api-key", PLANTED]},
    "an argument with =": {"args": [f"--hf-token={PLANTED}"]},
    "a shell's line": {"command": ["sh", "-c", f"export HF_TOKEN={PLANTED} && serve"]},
    "what was applied last": {
        "metadata": {
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": json.dumps(
                    secret(anything=encoded(PLANTED))
                )
            }
        }
    },
    "a Secret in another annotation": {
        "metadata": {"annotations": {"tool/last": json.dumps(secret(any=encoded(PLANTED)))}}
    },
    "a variable in an annotation": {
        "metadata": {
            "annotations": {"tool/last": json.dumps({"env": [{"name": "A_KEY", "value": PLANTED}]})}
        }
    },
    "managed fields": {"metadata": {"managedFields": [{"x": PLANTED}]}},
}

TEXTS: dict[str, str] = {
    "a hub's token": f"401 for {HUB} at https://hub",
    "a JWT": f"using {JWT}",
    "an access key": f"key {AWS} is unknown",
    "a private key": f"loaded\n{PEM}\ndone",
    "a presigned URL": "GET https://s/b/k?X-Amz-Credential=Plant3d%2F2026&X-Amz-Signature=Plant3d&a=b",
    "Google's": "GET https://s/b/k?X-Goog-Signature=Plant3d&X-Goog-Credential=Plant3d",
    "Azure's": "GET https://a.blob/x?sv=1&se=Plant3d&sig=Plant3d%3D",
    "a header": f"Authorization: AWS4-HMAC-SHA256 Credential={PLANTED}, Signature={PLANTED}",
    "a bearer": f"-H 'authorization: Bearer {PLANTED}'",
    "a property": f"alluxio.underfs.s3.secretKey = {PLANTED}",
    "a flag": f"mount --secret-key {PLANTED} /x",
    "JSON": json.dumps({"password": PLANTED}),
    "YAML": f"  secretKey: '{PLANTED}'",
    "userinfo": f"proxy http://me:{PLANTED}@proxy:3128",
    "a token in base64": f"data {encoded(HUB)} end",
    "a pair in base64": f"wrote {encoded(f'password={PLANTED}')}",
    "a key in base64": encoded(PEM),
}


def gone(text: str) -> bool:
    """Whether nothing planted is in a text, nor its base64 at any of three offsets."""
    cuts = ((0, 8), (2, 8), (3, 12))
    runs = [encoded(" " * pad + "Plant3d")[cut[0] : cut[1]] for pad, cut in enumerate(cuts)]
    return "plant3d" not in text.lower() and not any(run in text for run in runs)


@pytest.mark.parametrize("case", OBJECTS)
def test_no_secret_of_an_object_stays(case: str) -> None:
    assert not gone(json.dumps(OBJECTS[case])), "it was planted"
    assert gone(json.dumps(redact.document(OBJECTS[case])))


@pytest.mark.parametrize("case", TEXTS)
def test_no_secret_of_a_text_stays(case: str) -> None:
    assert not gone(TEXTS[case]), "it was planted"
    found = redact.text(TEXTS[case])
    assert gone(found), found
    assert HIDDEN in found
    assert redact.text(found) == found, "once is enough"


@pytest.mark.parametrize(
    "text",
    [
        'MountVolume.SetUp failed for volume "keys-secret" : secret "keys" not found',
        "kubectl fluidmodel cache s3://b/m --s3-secret keys --endpoint http://minio:9000",
        'kubectl create secret generic keys --from-literal=AWS_KEY="$AWS_SECRET_ACCESS_KEY"',
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "0123456789abcdef0123456789abcdef01234567",
        "model-00001-of-00030.safetensors",
    ],
)
def test_what_checks_and_fixes_go_by_stays(text: str) -> None:
    assert redact.text(text) == text


def test_an_annotation_without_secrets_stays_to_the_letter() -> None:
    note = '{ "v": 1,"components":{"decode": {"claim":"demo"}} }'
    given = {"metadata": {"annotations": {"fluidmodel.io/pins": note}}}
    assert redact.document(given) == given


@given(junk.anything)
def test_nothing_odd_raises_and_twice_is_once(given: Any) -> None:
    found = redact.document(given)
    assert repr(redact.document(found)) == repr(found)  # NaN is not equal to itself


@pytest.mark.parametrize("name", sorted(cases.breaks())[::3])
def test_a_bundle_finds_what_was_found_live(name: str) -> None:
    """Redaction takes away nothing that a check goes by."""
    snapshot = cases.broken(name)
    assert b.codes(bundle.redacted(snapshot)) == b.codes(snapshot)


def test_a_bundle_has_nothing_of_what_was_planted_anywhere() -> None:
    snapshot = b.healthy()
    for name, obj in OBJECTS.items():
        snapshot.objects["pods"][0].setdefault("x", {})[name] = obj
    snapshot.texts.update({f"log models/x/{name}": text for name, text in TEXTS.items()})
    assert gone(json.dumps(bundle.redacted(snapshot).to_document()))
