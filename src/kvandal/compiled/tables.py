"""Sets of tables that kernels hand on as one pointer.

numba hands a named tuple over field by field, seven words for each array: two hundred words per call of a kernel with
the state of a site, which takes longer to compile than what the kernel does.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import NativeValue, register_model, typeof_impl, unbox

Record = TypeVar("Record", bound=type)


class Tables(types.Type):  # type: ignore[misc]
    """Type of a named tuple of tables, or of such tuples, that is handed on by reference and never changed."""

    def __init__(self, record: str, fields: tuple[str, ...], kinds: tuple[Any, ...]) -> None:
        self.fields, self.kinds = fields, kinds
        digest = hashlib.sha256(repr((fields, kinds)).encode()).hexdigest()[:16]
        super().__init__(name=f"{record}({digest})")


def by_reference(record: Record) -> Record:
    """Let kernels hand the named tuples of this class on as one pointer; all fields are arrays, or such tuples."""
    name = f"{record.__module__}.{record.__qualname__}"

    def typeof(value: Any, purpose: Any) -> Tables:
        return Tables(name, value._fields, tuple(typeof_impl(field, purpose) for field in value))

    typeof_impl.register(record)(typeof)
    return record


def _memory(context: Any, kind: Tables) -> Any:
    return ir.LiteralStructType([context.get_value_type(field) for field in kind.kinds])


@register_model(Tables)
class _TablesModel(models.PrimitiveModel):  # type: ignore[misc]
    """A pointer."""

    def __init__(self, manager: Any, kind: Tables) -> None:
        super().__init__(manager, kind, ir.IntType(8).as_pointer())


@infer_getattr
class _TablesAttribute(AttributeTemplate):  # type: ignore[misc]
    key = Tables

    def generic_resolve(self, kind: Tables, field: str) -> Any:
        return kind.kinds[kind.fields.index(field)] if field in kind.fields else None


@lower_getattr_generic(Tables)  # type: ignore[untyped-decorator]
def _load(context: Any, builder: Any, kind: Tables, value: Any, field: str) -> Any:
    memory = builder.bitcast(value, _memory(context, kind).as_pointer())
    return builder.load(cgutils.gep_inbounds(builder, memory, 0, kind.fields.index(field)))


@unbox(Tables)  # type: ignore[untyped-decorator]
def _unbox(kind: Tables, value: Any, python: Any) -> NativeValue:
    builder = python.builder
    memory = cgutils.alloca_once(builder, _memory(python.context, kind))
    failed = cgutils.false_bit
    for place, field in enumerate(kind.kinds):
        native = python.unbox(field, python.pyapi.tuple_getitem(value, place))
        builder.store(native.value, cgutils.gep_inbounds(builder, memory, 0, place))
        failed = builder.or_(failed, native.is_error)
    return NativeValue(builder.bitcast(memory, cgutils.voidptr_t), is_error=failed)
