"""Secrets that are planted in objects and texts do not come out, and what checks go by does."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.doctor import support_bundle
from kubectl_fluidmodel.snapshot import redact
from kubectl_fluidmodel.snapshot.document import snapshot_to_document
from kubectl_fluidmodel.snapshot.redact import REDACTED
from kubectl_fluidmodel.snapshot.snapshot import LogKey
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


#: Forms in which programs, shells and people write down what they log in with.
SPOKEN: dict[str, str] = {
    "a variable that ends in PASS": f"export DB_PASS={PLANTED}",
    "a variable that ends in AUTH": f"REDIS_AUTH={PLANTED}",
    "a variable in one word": f"PGPASSWORD={PLANTED} psql",
    "access and secret key, short": f"ak=nobody sk={PLANTED}",
    "a password with an @ in a URL": f"http://user:p@{PLANTED.replace('/', '_')}@proxy:3128/",
    "a password with a slash in a URL": f"http://user:{PLANTED}@proxy:3128/",
    "a token alone in a URL": f"git clone https://{PLANTED.replace('/', '_')}@git.example.com/x",
    "netrc": f"machine hub.example.com login me password {PLANTED}",
    "netrc's default": f"default login me password {PLANTED}",
    "XML of Hadoop": f"<name>fs.s3a.secret.key</name>\n  <value>{PLANTED}</value>",
    "XML": f"<settings><password>{PLANTED}</password></settings>",
    "a YAML block": f"a:\n  password: |\n    {PLANTED}\n    {PLANTED}\n  b: c\n",
    "a folded YAML block": f"password: >-\n  {PLANTED}\n",
    "a passphrase of words": f"passphrase: {PLANTED} and Plant3d words\nnext: line",
    "curl -u": f"curl -s -u admin:{PLANTED} https://h",
    "curl --user": f"curl --user admin:{PLANTED} https://h",
    "mc alias set": f"mc alias set m http://minio:9000 minioadmin {PLANTED}",
    "aws configure set": f"aws configure set aws_secret_access_key {PLANTED}",
    "redis-cli -a": f"redis-cli -a {PLANTED} ping",
    "mysql -p": f"mysql -p{PLANTED} db",
    "a login by standard input": f"echo {PLANTED} | docker login r -u me --password-stdin",
    "a header of Vault": f"curl -H 'X-Vault-Token: {PLANTED}'",
    "a cookie": f"Cookie: session={PLANTED}; theme=dark",
    "a cookie that is set": f"< set-cookie: sid={PLANTED}; Path=/",
    "JSON in a string": json.dumps({"config": json.dumps({"secretKey": PLANTED})}),
    "JSON in a string in a string": json.dumps(json.dumps(json.dumps({"password": PLANTED}))),
    "a header in JSON": json.dumps({"Authorization": [f"Bearer {PLANTED}"]}),
    "a map of Go": f"map[password:{PLANTED} user:x]",
    "an entry of Alluxio's mount": f'  key: "aws.secretKey"\n  value: "{PLANTED}"',
    "an entry on one line": f'properties {{ key: "s3a.secretKey" value: "{PLANTED}" }}',
    "an entry in JSON": json.dumps([{"name": "STORE_KEY_SECRET", "value": PLANTED}]),
    "an entry with its value first": json.dumps({"value": PLANTED, "name": "HF_TOKEN"}),
    "an entry in YAML": f"- name: HF_TOKEN\n  value: {PLANTED}",
    "a sentence": f"the password is {PLANTED.replace('/', '_')} for all",
    "a flag at the end of its line": f"--password\n{PLANTED}",
    "a connection string": f"AccountName=x;AccountKey={PLANTED};EndpointSuffix=y",
    "a chat's hook": f"https://hooks.slack.com/services/T0/B0/{PLANTED}",
    "a pair": f"{AWS}:{PLANTED}",
    "a coloured log": f"\x1b[32mpassword\x1b[0m=\x1b[31m{PLANTED}\x1b[0m",
    "a key's block of PGP": (
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\nPlant3d\n-----END PGP PRIVATE KEY BLOCK-----"
    ),
    "a key without an end": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nPlant3d\nPlant3d",
    "a secret where its name belongs": f"SECRET_NAME={PLANTED.replace('/', '')}",
}
TEXTS.update(SPOKEN)

ARGUMENTS: dict[str, list[str]] = {
    "--pass": ["--pass", PLANTED],
    "--auth": ["--auth", PLANTED],
    "--user with a password": ["--user", f"me:{PLANTED}"],
    "-u with a password": ["-u", f"me:{PLANTED}"],
    "-p": ["-p", PLANTED.replace("/", "")],
    "--sk": ["--sk", PLANTED],
    "--requirepass": ["--requirepass", PLANTED],
    "a value with a dash": ["--token", "-" + PLANTED.replace("/", "")],
    "a header": ["--header", f"X-Auth-Key: {PLANTED}"],
    "a shell's line": ["sh", "-c", f"echo {PLANTED} | docker login --password-stdin"],
}
OBJECTS.update({f"argument {name}": {"args": args} for name, args in ARGUMENTS.items()})

VARIABLES = (
    *("DB_PASS", "REDIS_AUTH", "MYSQL_ROOT_PASS", "PGPASS", "WANDB_KEY", "S3_SK", "AK", "SK"),
    *("DATABASE_URL", "PASSCODE", "CREDS", "SMTP_PW", "JWT", "APIKEY", "HFTOKEN", "AWSSECRET"),
    *("DSN", "CONNECTION_STRING", "WEBHOOK_URL", "TOKEN_FILE_CONTENT", "SECRET_NAME", "LICENSE"),
)
OBJECTS.update(
    {
        f"variable {name}": {"env": [{"name": name, "value": PLANTED.replace("/", "")}]}
        for name in VARIABLES
    }
)


def gone(text: str) -> bool:
    """Whether nothing planted is in a text, nor its base64 at any of three offsets."""
    cuts = ((0, 8), (2, 8), (3, 12))
    runs = [encoded(" " * pad + "Plant3d")[cut[0] : cut[1]] for pad, cut in enumerate(cuts)]
    return "plant3d" not in text.lower() and not any(run in text for run in runs)


@pytest.mark.parametrize("case", OBJECTS)
def test_no_secret_of_an_object_stays(case: str) -> None:
    assert not gone(json.dumps(OBJECTS[case])), "it was planted"
    assert gone(json.dumps(redact.redact_object(OBJECTS[case])))


@pytest.mark.parametrize("case", TEXTS)
def test_no_secret_of_a_text_stays(case: str) -> None:
    assert not gone(TEXTS[case]), "it was planted"
    redacted = redact.redact_text(TEXTS[case])
    assert gone(redacted), redacted
    assert REDACTED in redacted
    assert redact.redact_text(redacted) == redacted, "once is enough"


PLAIN = (
    'MountVolume.SetUp failed for volume "keys-secret" : secret "keys" not found',
    'Error: secret "minio-keys" not found',
    "couldn't find key AWS_SECRET_ACCESS_KEY in Secret default/minio-keys",
    "kubectl fluidmodel cache s3://b/m --s3-secret keys --endpoint http://minio:9000",
    'kubectl create secret generic keys --from-literal=AWS_KEY="$AWS_SECRET_ACCESS_KEY"',
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "0123456789abcdef0123456789abcdef01234567",
    "model-00001-of-00030.safetensors",
    "InvalidToken: The provided token is malformed or otherwise invalid.",
    "SignatureDoesNotMatch: The request signature we calculated does not match",
    "The security token included in the request is expired",
    "the secret key is wrong: it does not belong to its access key",
    "max_tokens=4096 --max-num-batched-tokens 8192 eos_token_id: 2",
    '"bos_token": "<s>", "image_token_id": 151655, "unk_token": null',
    "Avg prompt throughput: 12.0 tokens/s, token usage: 0.5, running: 3",
    "skip_tokenizer_init=False, tokenizer='meta-llama/Llama-3', tokenizer_mode=auto",
    "secretKeyRef: {name: minio-keys, key: AWS_SECRET_ACCESS_KEY}",
    "secretKeyRef:\n  name: minio-keys\n  key: aws.secretKey",
    "serviceAccountToken: {path: token, expirationSeconds: 3607}",
    "pull access denied, repository may require 'docker login': denied",
    "password required; no credentials found; run aws configure",
    "-Daws.secretKey=/etc/fluid/secrets/minio-keys/secret",
    "session 1234 closed; user=alluxio, owner=root; passed 3 of 3; compass: north",
    "http://host:9000/path@x hf://gpt2@main s3://bucket/key@v1 ssh://git@github.com/x",
    "/var/run/secrets/kubernetes.io/serviceaccount/token: no such file or directory",
    "key: nvidia.com/gpu operator: Exists effect: NoSchedule",
    "secretName: hf-token-secret",
    "export HF_TOKEN=…",
)


@pytest.mark.parametrize("text", PLAIN)
def test_plain_text_and_values_used_by_checks_are_kept(text: str) -> None:
    assert redact.redact_text(text) == text


def test_what_alluxio_prints_of_a_failed_mount_keeps_everything_but_the_keys() -> None:
    """The form of `alluxio fs mount` of Alluxio 2.9, which prints its options in clear."""

    def entry(key: str, value: str) -> str:
        return f'properties {{\n  key: "{key}"\n  value: "{value}"\n}}\n'

    region = entry("alluxio.underfs.s3.endpoint.region", "us-east-1")
    printed = region + entry("aws.secretKey", PLANTED) + "shared: false\n403 Forbidden:Forbidden"
    expected = region + entry("aws.secretKey", REDACTED) + "shared: false\n403 Forbidden:Forbidden"
    assert redact.redact_text(printed) == expected


PIECES = [*"aS3 \n\\\"':=<>{}[]|-/@", "token", "value", "key", "password", "://", "is "]

#: What makes a scanner that goes back over its input take minutes, or hours, for one MiB.
WORST = {
    "one word": "a",
    "names": "secret",
    "names with a space": "secret ",
    "flags and spaces": "--secret" + " " * 60,
    "names and line ends": "password:\n",
    "open quotes": 'token="',
    "open quotes with backslashes": 'token=\\"',
    "backslashes": "secret\\\\",
    "keys that begin": "-----BEGIN RSA PRIVATE KEY-----",
    "schemes": "x://",
    "schemes with users": "http://a:b",
    "open JWTs": "eyJaaaaaaaa-",
    "entries without a value": "key: secret,\n",
    "tags": "<password>",
    "block scalars": "password: |\n  x\n",
    "logins": "machine a login b password ",
    "curl": "curl -u ",
    "echo": "echo aaaa ",
    "base64": "aGVsbG8gd29ybGQK",
    "headers": "authorization: ",
    "aliases": "mc alias set a b ",
    "colours": "\x1b[0",
}


@pytest.mark.parametrize("name", WORST)
def test_a_mebibyte_of_the_worst_case_is_redacted_within_seconds(name: str) -> None:
    """A bound of CPU time that a quadratic scanner passes by a factor of a thousand."""
    unit = WORST[name]
    worst = unit * ((1 << 20) // len(unit)) + " key"
    began = time.process_time()
    redact.redact_text(worst)
    assert time.process_time() - began < 30


@given(st.lists(st.sampled_from([*PIECES, *SPOKEN.values()]), max_size=30).map("".join))
def test_no_text_raises_and_twice_is_once(text: str) -> None:
    redacted = redact.redact_text(text)
    assert redact.redact_text(redacted) == redacted


def test_an_annotation_without_secrets_stays_to_the_letter() -> None:
    note = '{ "v": 1,"components":{"decode": {"claim":"demo"}} }'
    graph = {"metadata": {"annotations": {"fluidmodel.io/pins": note}}}
    assert redact.redact_object(graph) == graph


@given(junk.any_value)
def test_nothing_odd_raises_and_twice_is_once(data: Any) -> None:
    redacted = redact.redact_object(data)
    assert repr(redact.redact_object(redacted)) == repr(redacted)  # NaN is not equal to itself


@pytest.mark.parametrize("name", sorted(cases.faults())[::3])
def test_a_bundle_finds_what_was_found_live(name: str) -> None:
    """Redaction takes away nothing that a check goes by."""
    snapshot = cases.snapshot_with_fault(name)
    assert b.found_codes(support_bundle.redact_snapshot(snapshot)) == b.found_codes(snapshot)


def test_a_bundle_has_nothing_of_what_was_planted_anywhere() -> None:
    snapshot = b.healthy_snapshot()
    for name, obj in OBJECTS.items():
        snapshot.objects["pods"][0].setdefault("x", {})[name] = obj
    snapshot.logs.update({LogKey("models", "x", name): text for name, text in TEXTS.items()})
    assert gone(json.dumps(snapshot_to_document(support_bundle.redact_snapshot(snapshot))))
