from dataclasses import fields
from importlib import import_module

import pytest

from gridward.bench.catalogue import BENCHES, FLAGS, options_of
from gridward.bench.measure import Options


@pytest.mark.parametrize("name", BENCHES)
def test_every_benchmark_can_be_run(name: str) -> None:
    assert callable(import_module(BENCHES[name].module).run)


def test_every_option_is_a_flag_and_every_flag_an_option() -> None:
    assert {field.name for field in fields(Options)} == FLAGS.keys()
    assert {name for bench in BENCHES.values() for name in bench.defaults} == FLAGS.keys()


def test_every_default_is_one_that_the_flag_allows() -> None:
    for bench in BENCHES.values():
        for name, value in bench.defaults.items():
            flag = FLAGS[name]
            if flag.file:
                assert isinstance(value, str), name
            else:
                assert value in flag.choices if flag.choices else flag.low <= value <= flag.high, name


def test_what_is_given_goes_before_the_default() -> None:
    options = options_of(BENCHES["inference"], {"batch": 7})
    assert (options.batch, options.repeat) == (7, BENCHES["inference"].defaults["repeat"])
