"""Drafts of migrations, from the tables that the code knows.

    python -m kvandal.control.store.migrations.draft first          the first migrations anew, one for each module of tables
    python -m kvandal.control.store.migrations.draft next "Words"   the next one, from a migrated store to what the code knows

The first ones are written anew only as long as no release has made stores with them. Read what was drafted: a column that was
renamed looks like one removed and one added, and changing an append-only table on SQLite takes its triggers with it.
"""

from __future__ import annotations

import re
import sys
import tempfile
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations.ops import CreateIndexOp, CreateTableOp, MigrateOperation, UpgradeOps
from sqlalchemy import Table, create_engine

from kvandal.control.store import schema, tables
from kvandal.control.store.database import open_store
from kvandal.control.store.tables.metadata import UtcTime

VERSIONS = Path(__file__).parent / "versions"
HEADER = """from __future__ import annotations

import sqlalchemy as sa
from alembic import op
{imports}
revision = "{revision}"
down_revision = {before}


def upgrade() -> None:
"""
PROTECT = "\nfrom kvandal.control.store.migrations.append_only import protect\n"


def first() -> list[Path]:
    """Write the first migrations anew: one for each module of tables, those that others refer to first."""
    for old in VERSIONS.glob("0*.py"):
        old.unlink()
    written = []
    with create_engine("sqlite://").connect() as connection:
        context = MigrationContext.configure(connection)
        for module, owned in _by_module():
            operations: list[MigrateOperation] = []
            for table in owned:
                operations.append(CreateTableOp.from_table(table))
                operations += [
                    CreateIndexOp.from_index(index)
                    for index in sorted(table.indexes, key=lambda i: str(i.name))
                ]
            protected = [
                f'    protect("{table.name}", "{next(iter(table.primary_key.columns)).name}")\n'
                for table in owned
                if table.info.get("append_only")
            ]
            written.append(_write(module, _code(UpgradeOps(operations), context), protected))
    return written


def following(message: str) -> Path | None:
    """Write the migration that leads from the present ones to the tables that the code knows; None: there is nothing to do."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(f"sqlite:///{folder}/store") as store,
        store.read() as tx,
    ):
        context = MigrationContext.configure(
            tx, opts={"version_table": schema.VERSION_TABLE, "render_as_batch": True}
        )
        steps = produce_migrations(context, schema.complete_metadata()).upgrade_ops
        if steps is None or steps.is_empty():
            return None
        return _write(re.sub(r"\W+", "_", message.lower()).strip("_"), _code(steps, context, batch=True), [])


def _by_module() -> list[tuple[str, list[Table]]]:
    known = schema.complete_metadata()
    owned: dict[str, list[Table]] = {}
    for module in iter_modules(tables.__path__):
        source = import_module(f"{tables.__name__}.{module.name}")
        names = re.findall(r"^(\w+) = Table\(", Path(str(source.__file__)).read_text("utf-8"), re.MULTILINE)
        own = {getattr(source, name).name for name in names}
        if own:
            owned[module.name] = [table for table in known.sorted_tables if table.name in own]
    owner = {table.name: module for module, group in owned.items() for table in group}
    needs = {
        module: {owner[key.column.table.name] for table in group for key in table.foreign_keys} - {module}
        for module, group in sorted(owned.items())
    }
    return [(module, owned[module]) for module in TopologicalSorter(needs).static_order()]


def _code(steps: UpgradeOps, context: MigrationContext, *, batch: bool = False) -> str:
    code = render_python_code(
        steps, migration_context=context, render_item=_written_out, render_as_batch=batch
    )
    code = re.sub(r",\s*info=\{[^}]*\}", "", code)
    return "\n".join(line for line in code.splitlines() if not line.strip().startswith("# ###"))


def _written_out(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Name the plain type below ours: a migration stays what it was when our types change."""
    if kind == "type" and isinstance(item, UtcTime):
        return "sa.BigInteger()"
    return False


def _write(title: str, code: str, protected: list[str]) -> Path:
    existing = sorted(VERSIONS.glob("0*.py"))
    before = existing[-1].name[:4] if existing else None
    revision = f"{int(before or 0) + 1:04d}"
    path = VERSIONS / f"{revision}_{title}.py"
    header = HEADER.format(
        imports=PROTECT if protected else "",
        revision=revision,
        before=None if before is None else f'"{before}"',
    )
    path.write_text(f"{header}{code}\n{''.join(protected)}", encoding="utf-8")
    return path


if __name__ == "__main__":
    if sys.argv[1:] == ["first"]:
        print(*first(), sep="\n")
    elif len(sys.argv) == 3 and sys.argv[1] == "next":
        print(following(sys.argv[2]) or "the migrations lead to what the code knows already")
    else:
        sys.exit(__doc__)
