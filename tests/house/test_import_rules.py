"""The import rules are enforced: a violation planted in a copy of the tree is found."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import PACKAGES, ROOT

_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.html", "*.js", "*.dict")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=_NOT_COPIED)
    return tmp_path


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_import_rules_hold(copy: Path):
    outcome = lint_imports(copy)

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("module", "statement", "rule"),
    [
        ("gateway/app.py", "import capture_service.fold", "never each other"),
        ("history_service/service.py", "import enrichment_service.service", "never each other"),
        ("plumbing/errors.py", "import protos.jobs", "plumbing | protos"),
        ("plumbing/errors.py", "import recado.cli", "plumbing | protos"),
        ("capture_service/service.py", "import recado.cli", "plumbing | protos"),
        ("capture_service/fold.py", "import capture_service.store", "capture_service: __main__"),
        ("capture_service/store/leads.py", "import capture_service.service", "capture_service: __main__"),
        ("history_service/cursor.py", "import history_service.store", "history_service: __main__"),
        ("enrichment_service/graph.py", "import enrichment_service.store", "enrichment_service: __main__"),
        ("gateway/problems.py", "import gateway.app", "gateway: __main__"),
        ("gateway/app.py", "import psycopg", "psycopg only"),
        ("capture_service/service.py", "import psycopg_pool", "psycopg only"),
        ("history_service/service.py", "import flask", "flask only"),
        ("capture_service/sweep.py", "import redis", "rq and redis only"),
        ("gateway/app.py", "import rq", "rq and redis only"),
    ],
)
def test_a_planted_violation_is_found(copy: Path, module: str, statement: str, rule: str):
    victim = copy / module
    victim.write_text(f"{victim.read_text()}\n{statement}\n")

    outcome = lint_imports(copy)

    assert outcome.returncode != 0
    broken = [line for line in outcome.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(rule in line for line in broken), outcome.stdout


def test_a_module_that_no_rule_knows_is_found(copy: Path):
    (copy / "history_service" / "helpers.py").write_text('"""Nobody said where this belongs."""\n')

    outcome = lint_imports(copy)

    assert outcome.returncode != 0
    assert "helpers" in outcome.stdout
