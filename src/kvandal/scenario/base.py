"""What every part of a scenario has in common."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Part(BaseModel):
    """A frozen part of a scenario: unknown keys, wrong types, infinities and not-a-numbers are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        str_strip_whitespace=True,
    )


def model_in(annotation: Any) -> Any:
    """Find the scenario part inside an annotation such as ``dict[str, Tenant]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = model_in(argument)
        if found is not None:
            return found
    return None


@functools.cache
def described(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the fields of a part, each with the sentence that stands below it in the source as its description.

    pydantic can read these sentences itself, but for every part and whenever it is imported; they are needed when
    something is wrong.
    """
    for owner in reversed(model.__mro__):
        if not issubclass(owner, Part) or owner is Part:
            continue
        (body,) = (
            node.body
            for node in ast.parse(textwrap.dedent(inspect.getsource(owner))).body
            if isinstance(node, ast.ClassDef)
        )
        for statement, following in itertools.pairwise(body):
            match statement, following:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ) if model.model_fields[name].description is None:
                    model.model_fields[name].description = inspect.cleandoc(text)
    return model.model_fields
