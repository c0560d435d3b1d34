import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gridward.bench import plan
from gridward.bench.catalogue import BENCHES
from gridward.bench.main import main
from gridward.bench.measure import Options, Result, WrongResultError
from gridward.core.errors import NodeUnreachableError


def test_the_list_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()] == list(BENCHES)


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        ([], "required"),
        (["run"], "required"),
        (["run", "cycles"], "invalid choice"),
        (["run", "relu", "--model", "mlp"], "unrecognized"),
        (["run", "inference", "--model", "perceptron"], "invalid choice"),
        (["run", "inference", "--link", "udp"], "invalid choice"),
        (["run", "inference", "--parties", "6"], "not a number from 2 to 5"),
        (["run", "inference", "--batch", "0"], "not a number from 1 to 1024"),
        (["run", "inference", "--batch", "1.5"], "not a number"),
        (["run", "inference", "--repeat", "-1"], "not a number"),
        (["run", "inference", "--rep", "2"], "unrecognized"),
    ],
)
def test_wrong_arguments_are_refused_and_named(
    capsys: pytest.CaptureFixture[str], args: list[str], fault: str
) -> None:
    assert main(args) == 2
    assert fault in capsys.readouterr().err


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "inference", "--help"]) == 0
    assert "--parties" in capsys.readouterr().out


def test_a_run_prints_one_json_object_a_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "plan", "--json", "--repeat", "2", "--batch", "3"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["bench"] == "plan"
    assert told["case"] == {"model": "mlp", "batch": 3, "torch_threads": 1}
    assert told["plan_s"]["runs"] == told["torch_s"]["runs"] == 2
    assert told["steps"] >= 5
    assert {"processor", "cores", "load_average_1m"} <= told["machine"].keys()
    assert "torch" in told["versions"]


def test_a_run_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "plan", "--repeat", "1"]) == 0
    assert "overhead_per_step_s" in capsys.readouterr().out


@pytest.mark.parametrize("why", [WrongResultError("it is off"), NodeUnreachableError("it is off")])
def test_a_failed_run_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, why: Exception
) -> None:
    def run(_: Options) -> Iterator[Result]:
        raise why

    monkeypatch.setattr(plan, "run", run)
    assert main(["run", "plan", "--json"]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err.strip()) == ("", "error: it is off")


def test_an_interrupted_run_says_so_by_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: Options) -> Iterator[Result]:
        raise KeyboardInterrupt

    monkeypatch.setattr(plan, "run", run)
    assert main(["run", "plan"]) == 130


@pytest.mark.parametrize("module", [["benchmarks"], ["gridward", "bench"]])
def test_the_folder_and_the_command_are_the_same_code(module: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *module, "list"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(BENCHES)
