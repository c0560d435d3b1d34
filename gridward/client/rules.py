"""Who may do what, as an owner writes it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TypeAlias

from gridward.client.checks import checked
from gridward.core.errors import InvalidInputError
from gridward.core.schemas import access as wire
from gridward.core.schemas import datasets

SIGNED_IN = wire.SIGNED_IN


@dataclass(frozen=True, slots=True)
class Rule:
    """A name with conditions: ``gw.Rule("ana", times=3)`` in place of ``"ana"``.

    ``until``: before that moment only (with a zone). ``times``: so many answers in all, whoever of those that
    ``who`` names has them. ``plan``: that question only, by its digest: of a request, or of a preview.
    ``min_rows``, ``min_entities``: over at least so many rows, with at least so many distinct entities behind
    each value. The node says which conditions mean something for which verb.
    """

    who: str
    until: datetime | None = None
    times: int | None = None
    plan: str | None = None
    min_rows: int | None = None
    min_entities: int | None = None

    def to_schema(self) -> wire.Rule:
        """Write it as it travels."""
        with checked():
            return wire.Rule(**asdict(self))


Names: TypeAlias = str | Rule | Sequence[str | Rule]


@dataclass(frozen=True, slots=True)
class Access:
    """Verbs on a dataset, each with who has it.

    A name is ``"bob"``, ``"dana@grid"``, ``"role:guest"``, ``"group:ward"`` or ``SIGNED_IN``; with conditions
    it is a ``gw.Rule``. The publisher and the node's owner always may. ``discover``: find it by name, tags
    and the first line of its description. ``describe``: see columns, shapes and checks too; whoever has a
    further verb may, and without this list whoever finds it. ``compute``: compute on it and read checked
    aggregates. ``raw``: have the real values. ``train``: train models on it. ``export_model``: take such a
    model away. ``approve``: answer requests for it, with a role that decides on requests.
    """

    discover: Names = ()
    describe: Names | None = None
    compute: Names = ()
    raw: Names = ()
    train: Names = ()
    export_model: Names = ()
    approve: Names = ()

    def to_schema(self) -> wire.Access:
        """Write it as it travels."""
        with checked():
            return wire.Access(
                discover=_listed(self.discover),
                describe=None if self.describe is None else _listed(self.describe),
                compute=_listed(self.compute),
                raw=_listed(self.raw),
                train=_listed(self.train),
                export_model=_listed(self.export_model),
                approve=_listed(self.approve),
            )


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Thresholds on who is behind an answer; None: that is not looked at.

    ``entities``: fewest distinct ones behind a value (None: as many as ``min_rows``). ``largest_two``: most
    that the two largest contributors may be of a total. ``p_ratio``: least that all others contribute, as a
    part of the largest. ``residual_degrees`` and ``parameter_share``: fewest entities more than parameters of
    a fitted model, and most parameters for each entity; most neural networks have more, and may hold single
    rows. ``round_counts``: counts are rounded to multiples of it. None of them stops differencing.
    """

    entities: int | None = None
    largest_two: float | None = 0.9
    p_ratio: float | None = 0.1
    residual_degrees: int | None = 10
    parameter_share: float | None = 0.33
    round_counts: int = 1

    def to_schema(self) -> datasets.Disclosure:
        """Write it as it travels."""
        with checked():
            return datasets.Disclosure(**asdict(self))


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """Verbs on a hosted model. Its publisher and the node's owner always may."""

    discover: Names = ()
    infer: Names = ()
    infer_encrypted: Names = ()
    download: Names = ()

    def to_schema(self) -> wire.ModelAccess:
        """Write it as it travels."""
        with checked():
            return wire.ModelAccess(
                discover=_listed(self.discover),
                infer=_listed(self.infer),
                infer_encrypted=_listed(self.infer_encrypted),
                download=_listed(self.download),
            )


def dataset_access(allowed_users: Names | None, access: Access | None) -> Access:
    """Combine the two ways to say it; without either nobody but the owner sees anything."""
    if access is not None:
        if allowed_users is not None:
            raise InvalidInputError("give allowed_users or access, not both")
        return access
    if allowed_users is None:
        return Access()
    return Access(raw=allowed_users, compute=SIGNED_IN, discover=SIGNED_IN)


def _listed(names: Names) -> list[str | wire.Rule]:
    each = [names] if isinstance(names, str | Rule) else names
    return [one.to_schema() if isinstance(one, Rule) else one for one in each]
