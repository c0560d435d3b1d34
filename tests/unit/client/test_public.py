import ast
import subprocess
import sys
from pathlib import Path

import gridward as gw
from gridward import client


def test_every_public_name_is_there_and_both_lists_are_one() -> None:
    assert gw.__all__ == client.__all__
    for name in gw.__all__:
        assert getattr(gw, name) is getattr(client, name)
    assert set(dir(gw)) == set(gw.__all__)


def test_type_checkers_see_the_same_names() -> None:
    for module in (gw, client):
        tree = ast.parse(Path(module.__file__ or "").read_text())
        typed = {
            alias.asname
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert set(module.__all__) <= typed


def test_all_errors_have_one_base_and_old_names_stay() -> None:
    errors = [getattr(gw, name) for name in gw.__all__ if name.endswith(("Error", "Exception"))]
    assert all(issubclass(error, gw.GridError) for error in errors)
    assert gw.TensorsNotCollocatedException is gw.TensorsNotCollocatedError
    assert gw.NotEnoughBudgetException is gw.NotEnoughBudgetError
    assert gw.DuplicateRequestException is gw.DuplicateRequestError


def test_core_imports_on_a_machine_without_the_sdks_or_servers_libraries() -> None:
    code = (
        "import sys\n"
        "for name in ('httpx2', 'fastapi', 'sqlmodel', 'rich', 'pyarrow'): sys.modules[name] = None\n"
        "import gridward.core.errors, gridward.core.plans.codec, gridward\n"
        "gridward.GridError\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
