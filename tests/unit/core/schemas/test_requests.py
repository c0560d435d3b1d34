import json

import pytest

from gridward.core.schemas import requests
from gridward.core.schemas.examples_requests import REQUEST_EXAMPLES


@pytest.mark.parametrize("name", sorted(REQUEST_EXAMPLES))
def test_every_example_is_what_it_is_an_example_of(name: str) -> None:
    getattr(requests, name).model_validate_json(json.dumps(REQUEST_EXAMPLES[name]))
