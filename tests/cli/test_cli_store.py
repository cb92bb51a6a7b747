"""`kvandal store` and `kvandal audit`: one line for what is wrong, exit 1 where the books are not sound."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from sqlalchemy import text

from kvandal.control.store.audit import record
from kvandal.control.store.database import open_store

SITE = ("--database", "sqlite:///site.db")


@pytest.fixture
def site(tmp_path):
    """Make a store with three rows in its audit trail."""
    with open_store(f"sqlite:///{tmp_path}/site.db") as store, store.begin() as tx:
        for number in range(3):
            record(tx, "alice", "job.cancel", f"job_{number}", {"reason": "done"})


def test_a_trail_is_shown_verified_saved_and_restored(site, inside, monkeypatch):
    shown = json.loads(inside("audit", "list", "--subject", "job_1", "--json", *SITE).out)
    assert [(row["number"], row["who"], row["detail"]) for row in shown] == [(2, "alice", {"reason": "done"})]
    assert inside("audit", "list", *SITE).out.count("job.cancel") == 3

    verdict = json.loads(inside("audit", "verify", "--json", *SITE).out)
    assert (verdict["sound"], verdict["rows"]) == (True, 3)
    monkeypatch.setenv("KVANDAL_SERVE_DATABASE", SITE[1])
    assert (
        json.loads(inside("store", "backup", "monday", "--json").out)["audit"]["head_hash"]
        == verdict["head_hash"]
    )
    restored = inside("store", "restore", "monday", "--database", "sqlite:///new/site.db")
    assert (restored.code, restored.mistakes) == (0, [])
    known = inside("audit", "verify", "--database", "sqlite:///new/site.db", "--expect", verdict["head_hash"])
    assert (known.code, "sound; audit trail of 3 rows" in known.out) == (0, True)


def test_a_trail_that_is_not_sound_is_exit_1_and_names_the_row(site, inside, tmp_path):
    with open_store(f"sqlite:///{tmp_path}/site.db") as store, store.begin() as tx:
        tx.execute(text("DROP TRIGGER audit_no_update"))
        tx.execute(text("UPDATE audit SET who = 'bob' WHERE number = 2"))
    found = inside("audit", "verify", *SITE)

    assert found.code == 1
    assert found.out.startswith("audit: row 2 was changed (job.cancel of job_1)\n")
    assert "NOT SOUND" in found.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["audit", "verify", "--database", "sqlite:///absent.db"],
            "sqlite:///absent.db: there is no file absent.db",
        ),
        (["audit", "list", "--database", "mysql://me:secret@host/x"], "database"),
        (["store", "backup", "site.db", *SITE], "site.db: exists"),
        (["store", "restore", "absent", "--database", "sqlite:///new.db"], "absent: no such file"),
        (["store", "restore", "site.db", *SITE], "is not empty; --force"),
        (["store", "upgrade", "--database", "postgresql://me@127.0.0.1:1/x"], "refused"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_2(site, inside, arguments, message):
    refused = inside(*arguments)

    assert (refused.code, refused.out) == (2, "")
    assert len(refused.err.splitlines()) == 1
    assert message in refused.err
    assert "secret" not in refused.err


WITHOUT = """
import sys
sys.modules["sqlalchemy"] = None
sys.argv = ["kvandal", "audit", "verify"]
from kvandal.cli.main import main
main()
"""


def test_without_the_extra_the_command_says_what_to_install(tmp_path):
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert said.returncode == 2
    assert (
        said.stderr
        == "kvandal: audit: the package sqlalchemy is not installed; pip install 'kvandal[serve]'\n"
    )
