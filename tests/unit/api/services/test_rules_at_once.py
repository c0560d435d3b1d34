"""Counted rules under several callers at once, on every kind of database that is at hand."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import ask, column

ROWS = {"x": np.arange(12.0)}


def test_no_more_answers_leave_than_a_rule_has_uses(node: NodeUnderTest) -> None:
    node.as_("ana"), node.as_("eve")
    access: dict[str, Any] = {"compute": [{"who": "role:data_scientist", "times": 3}]}
    births = publish(node, node.as_("bob"), ROWS, access=access)
    total = column(births, "x").sum()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda at: ask(node, node.as_(("ana", "eve")[at % 2]), total), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [403] * 5
    path = f"/v1/datasets/{births['id']}/rules"
    (rule,) = node.client.get(path, headers=node.as_("bob")).json()["items"]
    assert rule["used"] == 3
