"""The repository speaks of the product alone: of no machine, no registry, no secret."""

import re

import pytest

from tests.house.tree import ROOT, texts, tracked_files

# A pattern that is written down here does not match itself: one character of each is in brackets.
_FOREIGN = {
    "a folder of somebody's machine": r"(?<![\w.:/-])[/](?:work|root|Users|workspace|home/[a-z]+)/",
    "an address of a package registry": r"(?:pypi|npmjs|yarnpkg|conda)[.](?:org|com|io)|pythonhosted[.]org"
    r"|--(?:extra-)?index[-]url|--find[-]links|/simple[/]",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a merge that was not finished": r"^(?:<<<<<<<|>>>>>>>) ",
}


@pytest.mark.parametrize("what", _FOREIGN)
def test_no_file_contains(what: str):
    pattern = re.compile(_FOREIGN[what], re.MULTILINE)

    found = [f"{path}: {match.group()}" for path, text in texts() for match in pattern.finditer(text)]

    assert found == []


def test_no_lock_file_that_carries_addresses_is_kept():
    names = {path.name for path in tracked_files()}

    assert not names & {"uv.lock", "pylock.toml", "package-lock.json", "poetry.lock", "Pipfile.lock"}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_pin_of_a_lock_has_its_version_and_its_hashes(lock: str):
    entries = re.sub(r"\\\n\s*", " ", (ROOT / lock).read_text("utf-8")).splitlines()

    assert entries
    assert [
        entry.split()[0] for entry in entries if not re.match(r"[\w.-]+==\S+ .*--hash=sha256:", entry)
    ] == []


def test_the_tests_lock_contains_the_lock_of_what_runs():
    pins = [
        set(re.findall(r"^[\w.-]+==\S+", (ROOT / lock).read_text("utf-8"), re.MULTILINE))
        for lock in (
            "requirements.lock",
            "requirements-dev.lock",
        )
    ]

    assert pins[0] <= pins[1]
