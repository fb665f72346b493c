"""The documents say what is so: their links lead somewhere, and what they tell people to type works."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.house.tree import ROOT, texts

DOCUMENTS = sorted(str(path) for path, _ in texts() if path.suffix == ".md")
README = (ROOT / "README.md").read_text("utf-8")
# tests/e2e/test_readme.py types these, in this order, beside a running system; the others are named here.
TYPED_ELSEWHERE = {
    "make run": "tests/e2e starts the same command, recado up",
    "make test": "is what runs this",
}


def blocks(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str):
    folder = (ROOT / document).parent
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / document).read_text("utf-8"))

    assert [target for target in targets if "://" not in target and not (folder / target).exists()] == []


def test_the_translation_tells_people_to_type_the_same():
    assert blocks((ROOT / "README.pt-BR.md").read_text("utf-8")) == blocks(README)


def test_every_make_target_that_a_document_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))

    named = {
        target
        for path, text in texts()
        if path.suffix == ".md"
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)
    }

    assert named - targets == set()


def test_make_help_lists_every_target():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert declared
    assert set(declared[1].split()) <= {*re.findall(r"^  make (\S+)", listed, re.MULTILINE), "help"}


def test_every_setting_is_documented():
    read = {
        name
        for path, text in texts()
        if path.suffix == ".py" and path.parts[0] != "tests"
        for name in re.findall(r'env\.\w+\(\s*"(RECADO_[A-Z_]+)"', text)
    }
    documented = set(re.findall(r"RECADO_[A-Z_]+", (ROOT / "docs/operations.md").read_text("utf-8")))

    assert read
    assert read - documented == set()


def test_every_documented_setting_is_read():
    everything = "\n".join(
        text for path, text in texts() if path.suffix in {".py", ".yaml"} and path.parts[0] != "tests"
    )
    documented = set(
        re.findall(r"`(RECADO_[A-Z_]+?)(?:_FILE)?`", (ROOT / "docs/operations.md").read_text("utf-8"))
    )

    assert [name for name in sorted(documented) if name not in everything and not _is_assembled(name)] == []


def _is_assembled(name: str) -> bool:
    """Tell whether the code puts this name together from the service's."""
    return re.fullmatch(r"RECADO_(?:CAPTURE|ENRICHMENT|HISTORY)_(?:ADDRESS|PASSWORD)", name) is not None


def test_scripts_can_be_run():
    for script in (".ci/run", ".githooks/pre-commit"):
        assert os.access(ROOT / Path(script), os.X_OK), script
