"""What `cache --adopt` prints: a table at 80 columns to be read in a review, and a document.

`GOLDEN=write pytest …` writes the golden files anew.
"""

from __future__ import annotations

import json
import os

import pytest

from kubectl_fluidmodel.cache.adoption import report
from kubectl_fluidmodel.cache.adoption.metadata import adoption_objects, release_object
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from tests.cache.adoption.samples import FIXTURES, GIB, MODEL, SECRET, adoption, hand_made

PROVEN = Verification(True, 2, 131 * GIB, 131 * GIB)
BY_TOTAL = Verification(True, None, 131 * GIB, 131 * GIB)


@pytest.mark.parametrize("name", ["full", "small"])
def test_the_table_fits_80_columns(name: str) -> None:
    planned = adoption(hand_made(name), PROVEN)
    text = report.differences_text(planned) + "\n" + report.summary_text(planned)
    assert max(map(len, text.splitlines())) <= 80
    file = FIXTURES / f"{name}-80.txt"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()


def test_the_summary_has_the_verification_and_the_next_command() -> None:
    by_file = report.summary_text(adoption(verification=PROVEN)).splitlines()
    assert by_file == [
        "llama-by-hand is adopted: 2 files, 131.0 GiB, every byte proven, on gpu-0",
        "next: kubectl fluidmodel pin llama-by-hand GRAPH -n ns",
        "to release it: kubectl fluidmodel uncache llama-by-hand --release -n ns",
    ]
    assert "complete by Fluid's totals" in report.summary_text(adoption(verification=BY_TOTAL))
    assert "nothing was compared" in report.summary_text(adoption())


def test_the_document_has_the_differences_and_what_is_written() -> None:
    document = report.adoption_document(adoption(verification=PROVEN), adopted=True)
    assert document["kind"] == "Adoption"
    assert document["adopted"] is True
    assert document["proof"]["by"] == "file"
    settings = {difference["setting"]: difference for difference in document["differences"]}
    assert settings["watermarks"]["consequence"] is None
    assert [obj["kind"] for obj in document["objects"]] == ["DataLoad", "AlluxioRuntime", "Dataset"]
    assert SECRET not in json.dumps(document)


def test_only_metadata_is_written() -> None:
    cache = hand_made()
    junk = FileListing(MODEL.files, (SourceFile(".git/x", 7),))
    for obj in adoption_objects(cache, junk):
        assert set(obj) == {"apiVersion", "kind", "metadata"}
        assert obj["metadata"]["labels"] == {
            "app.kubernetes.io/managed-by": "kubectl-fluidmodel",
            "fluidmodel.io/model": "llama-by-hand",
            "fluidmodel.io/adopted": "true",
        }
    assert adoption_objects(cache, junk)[-1]["metadata"]["annotations"] == {
        "fluidmodel.io/source": "s3://models/acme/llama",
        "fluidmodel.io/bytes": str(MODEL.bytes),
        "fluidmodel.io/files": "2",
        "fluidmodel.io/left-out-bytes": "7",
    }
    unlisted = adoption_objects(cache, None)[-1]["metadata"]["annotations"]
    assert unlisted == {"fluidmodel.io/source": "s3://models/acme/llama"}


def test_an_object_recreated_in_the_meantime_is_not_changed() -> None:
    """With the UID, the API server refuses an apply to another object of the name."""
    cache = hand_made()
    cache.dataset["metadata"]["uid"] = "u-1"
    assert adoption_objects(cache, None)[-1]["metadata"]["uid"] == "u-1"
    assert release_object(cache.dataset)["metadata"] == {
        "name": "llama-by-hand",
        "namespace": "ns",
        "uid": "u-1",
    }
    document = report.adoption_document(adoption(cache), adopted=False)
    assert "uid" not in document["objects"][-1]["metadata"], "it may be kept in git"
