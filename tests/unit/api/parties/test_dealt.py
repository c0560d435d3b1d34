import stat
from pathlib import Path

from gridward.api.parties.dealt import replace_durably, wipe_folder


def test_secret_files_are_for_their_owner_only_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deployment" / "secret"
    replace_durably(path, b"first")
    replace_durably(path, b"second")
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_a_wiped_folder_is_gone_and_its_files_hold_zeros(tmp_path: Path) -> None:
    secret, kept = tmp_path / "ended" / "bundles" / "secret", tmp_path / "other name"
    replace_durably(secret, b"words")
    kept.hardlink_to(secret)
    wipe_folder(tmp_path / "ended")
    wipe_folder(tmp_path / "ended")
    assert kept.read_bytes() == bytes(5)
    assert list(tmp_path.iterdir()) == [kept]
