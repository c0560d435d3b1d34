"""Pages of models: who sees what of one, and who may end it."""

import pytest

from tests.support.nodes import NodeUnderTest
from tests.support.visitors import Visitor, forms_on, text_of
from tests.unit.api.pages.test_datasets import CANARY
from tests.unit.api.services.test_models import serve


def test_a_model_is_shown_with_its_plan_and_its_size(node: NodeUnderTest) -> None:
    serve(node, node.as_("carol"), tags=["#linear"], description="a line")
    for name in ("carol", "bob"):
        visitor = Visitor(node.client, name)
        assert 'href="/models/diagnosis"' in visitor.shows("/models?q=%23linear")
        assert 'href="/models/diagnosis"' not in visitor.shows("/models?q=%23other")
        page = visitor.shows("/models/diagnosis")
        said = text_of(page)
        assert "2 tensors, 12 B" in said
        assert "t1 = addmm.default(bias, x, t0, beta=1, alpha=1)" in said
        assert "float32[batch, 2]" in said
        assert {"/models/diagnosis/delete", "/models/diagnosis/rules"} < forms_on(page)


def test_who_may_query_sees_no_way_to_end_it_and_has_none(node: NodeUnderTest) -> None:
    serve(node, node.as_("carol"))
    node.as_("dana")
    dana = Visitor(node.client, "dana")
    assert forms_on(dana.shows("/models/diagnosis")) == set()
    assert dana.send("/models/diagnosis/delete").status_code == 403
    assert dana.send(f"/models/diagnosis/deployments/{'a' * 32}/withdraw").status_code == 404


def test_a_hidden_model_and_a_missing_one_are_the_same_page(node: NodeUnderTest) -> None:
    serve(node, node.as_("carol"), access={})
    node.as_("dana")
    dana = Visitor(node.client, "dana")
    hidden, missing = dana.get("/models/diagnosis"), dana.get("/models/missing")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace("diagnosis", "missing") == missing.text
    assert 'href="/models/diagnosis"' not in dana.shows("/models")


def test_a_host_deletes_a_model(node: NodeUnderTest) -> None:
    serve(node, node.as_("carol"))
    carol = Visitor(node.client, "carol")
    assert carol.send("/models/diagnosis/delete", token="forged").status_code == 403
    assert carol.sends("/models/diagnosis/delete").url.path == "/models"
    assert carol.get("/models/diagnosis").status_code == 404


@pytest.mark.parametrize("path", ["/models", "/models/diagnosis"])
def test_what_others_wrote_is_text_and_never_markup(node: NodeUnderTest, path: str) -> None:
    serve(node, node.as_("carol"), description=CANARY)
    shown = Visitor(node.client, "bob").shows(path)
    assert "<script>alert" not in shown
    assert "<img src=x" not in shown
