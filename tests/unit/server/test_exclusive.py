from pathlib import Path

import pytest

from gridward.core.errors import ConflictError
from gridward.server.exclusive import claim


def test_a_folder_belongs_to_one_server_until_that_one_ends(tmp_path: Path) -> None:
    first = claim(tmp_path)
    with pytest.raises(ConflictError, match="another server"):
        claim(tmp_path)
    first.close()
    claim(tmp_path).close()
