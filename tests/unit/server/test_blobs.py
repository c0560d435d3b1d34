import hashlib
from pathlib import Path

import pytest

from gridward.server.blobs import BlobFolder


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "blobs")


def store(blobs: BlobFolder, content: bytes) -> str:
    with blobs.scratch() as path:
        path.write_bytes(content)
        seal = blobs.seal(path)
        assert seal.size_bytes == len(content)
        blobs.place(seal)
        assert not path.exists()
    return seal.sha256


def test_a_blob_is_named_by_its_content_and_cannot_be_written(blobs: BlobFolder) -> None:
    digest = store(blobs, b"rows")
    assert digest == hashlib.sha256(b"rows").hexdigest()
    assert blobs.path(digest).read_bytes() == b"rows"
    assert blobs.path(digest).stat().st_mode & 0o777 == 0o400


def test_the_same_content_is_one_blob(blobs: BlobFolder, tmp_path: Path) -> None:
    assert store(blobs, b"rows") == store(blobs, b"rows")
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 1


def test_scratch_files_do_not_outlive_a_failure(blobs: BlobFolder, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), blobs.scratch() as path:
        path.write_bytes(b"half")
        raise RuntimeError
    assert list((tmp_path / "blobs" / "incoming").iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 63, "A" * 64, "", "a" * 64 + "\n"])
def test_a_name_that_is_no_hash_never_becomes_a_path(blobs: BlobFolder, name: str) -> None:
    with pytest.raises(ValueError, match="hex"):
        blobs.path(name)


@pytest.mark.parametrize("name", ["../upl-1", "upl-1/../x", "", "upl", "upl-xyz", "upl-1\n"])
def test_an_upload_id_that_is_not_ours_never_becomes_a_path(blobs: BlobFolder, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        blobs.part(name)


def test_the_sweep_removes_what_no_row_names_and_keeps_the_rest(blobs: BlobFolder, tmp_path: Path) -> None:
    kept, lost = store(blobs, b"kept"), store(blobs, b"lost")
    blobs.part("upl-1").write_bytes(b"open")
    blobs.part("upl-2").write_bytes(b"gone")
    (tmp_path / "blobs" / "incoming" / "tmp-0").write_bytes(b"crash")
    assert blobs.sweep({kept}, {"upl-1"}) == 3
    assert blobs.path(kept).exists()
    assert blobs.part("upl-1").exists()
    assert not blobs.path(lost).exists()
    assert not blobs.part("upl-2").exists()
