"""The closed op table: what each operation is called, needs and costs. Adding an op is one entry and its tests."""

from enum import StrEnum


class Op(StrEnum):
    """Core-ATen overloads. A member is named by its overload: dots become underscores, `.default` is dropped."""

    ADDMM = "aten.addmm.default"
