"""Rules of a dataset or model one by one, and what somebody would get by them."""

from gridward.client.checks import checked
from gridward.client.place import Place, segment
from gridward.client.rules import Rule
from gridward.client.transport import Transport
from gridward.core.schemas.access import RuleIn, RuleOut, RulesOut
from gridward.core.schemas.computations import QuestionIn
from gridward.core.schemas.previews import AccessPreview, PreviewIn


def of_dataset(dataset_id: str) -> str:
    """Where the rules of a dataset are."""
    return f"/v1/datasets/{segment(dataset_id)}/rules"


def of_model(model_id: str) -> str:
    """Where the rules of a model are."""
    return f"/v1/models/{segment(model_id)}/rules"


def listed(server: Transport, path: str) -> list[RuleOut]:
    """Every rule, expired and used up ones too."""
    return server.fetch(RulesOut, "GET", path).items


def add(server: Transport, path: str, verb: str, rule: Rule | str) -> RuleOut:
    """Add one rule; others stay."""
    one = Rule(rule) if isinstance(rule, str) else rule
    with checked():
        body = RuleIn(verb=verb, **one.to_schema().model_dump())
    return server.fetch(RuleOut, "POST", path, body=body)


def end(server: Transport, path: str, rule_id: str) -> None:
    """End one rule at once."""
    server.send("DELETE", f"{path}/{segment(rule_id)}")


def preview(place: Place, dataset_id: str, who: str, question: QuestionIn | None) -> AccessPreview:
    """Ask what somebody would get; nothing is run or counted."""
    with checked():
        body = PreviewIn(who=who, question=question)
    path = f"/v1/datasets/{segment(dataset_id)}/preview"
    return place.transport.fetch(AccessPreview, "POST", path, body=body)
