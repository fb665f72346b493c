from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from plumbing import settings

# What an environment can hold.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def test_every_fault_is_reported_at_once():
    environ = {"B": "seven", "C": "1e9", "D": "perhaps", "E": "nowhere", "F": "x", "F_FILE": "/y"}

    def load() -> None:
        with settings.read(environ) as env:
            env.text("A")
            env.integer("B", 1, at_least=1, at_most=9)
            env.seconds("C", 1, at_least=0, at_most=60)
            env.flag("D", True)
            env.address("E")
            env.secret("F")
            env.secret("G")
            env.integer("H", at_least=1, at_most=9)

    with pytest.raises(settings.SettingsError) as raised:
        load()

    assert raised.value.faults == [
        "A is missing",
        "B must be a whole number from 1 to 9",
        "C must be seconds from 0 to 60",
        "D must be true or false",
        "E must be host:port",
        "F and F_FILE are both set",
        "G (or G_FILE) is missing",
        "H is missing",
    ]
    assert all(fault in str(raised.value) for fault in raised.value.faults)


def test_values_and_defaults():
    environ = {"A": "a", "B": "7", "C": "1.5", "D": "No", "E": "[::1]:80", "F": "s", "EMPTY": ""}

    with settings.read(environ) as env:
        assert env.text("A") == "a"
        assert env.text("EMPTY", "default") == "default"
        assert env.text("NONE", "") == ""
        assert env.integer("B", at_least=1, at_most=9) == 7
        assert env.integer("NONE", 3, at_least=1, at_most=9) == 3
        assert env.seconds("C", 9, at_least=0, at_most=60) == 1.5
        assert env.seconds("NONE", 9, at_least=0, at_most=60) == 9
        assert env.flag("D", True) is False
        assert env.flag("NONE", True) is True
        assert env.address("E") == "[::1]:80"
        assert env.address("NONE", "127.0.0.1:0") == "127.0.0.1:0"
        assert env.secret("F") == "s"
        assert env.secret("NONE", "") == ""


def test_a_fault_goes_before_what_comes_of_it():
    with pytest.raises(settings.SettingsError, match="A is missing"), settings.read({}) as env:
        assert env.text("A")[0] == "a"


def test_an_error_of_the_block_passes_when_nothing_is_wrong():
    with pytest.raises(ZeroDivisionError), settings.read({}):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"s3cret", "s3cret"), (b"s3cret\n", "s3cret"), (b"s3cret\r\n", "s3cret"), (b" two\n\n", " two\n")],
)
def test_a_secret_comes_from_a_file_less_one_newline(tmp_path: Path, content: bytes, value: str):
    (tmp_path / "secret").write_bytes(content)

    with settings.read({"A_FILE": str(tmp_path / "secret")}) as env:
        assert env.secret("A") == value


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_secret_file_that_is_no_use_is_a_fault_even_with_a_default(tmp_path: Path, content: bytes | None):
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(settings.SettingsError, match="A_FILE"), settings.read({"A_FILE": str(path)}) as env:
        env.secret("A", "default")


def test_a_secret_that_does_not_do_is_a_fault_of_its_variable():
    def refuse(_: str) -> None:
        raise ValueError("too short")

    with pytest.raises(settings.SettingsError) as raised, settings.read({"A": "s"}) as env:
        env.secret("A", check=refuse)

    assert raised.value.faults == ["A: too short"]


@pytest.mark.parametrize(
    "value", ["host", ":80", "host:", "host:http", "host:65536", "a:b:80", "host:\u0663"]
)
def test_not_an_address(value: str):
    with pytest.raises(settings.SettingsError), settings.read({"A": value}) as env:
        env.address("A")


@pytest.mark.parametrize("value", ["0", "10", "5.0", "0x5", "\u0665", " 5", "1_0", "", "9" * 5000])
def test_not_a_number_from_1_to_9(value: str):
    with pytest.raises(settings.SettingsError), settings.read({"A": value}) as env:
        env.integer("A", at_least=1, at_most=9)


@given(texts)
def test_whatever_stands_there_is_read_or_refused_without_being_quoted(value: str):
    def load() -> None:
        # No number, flag or address begins so.
        with settings.read({"A": f"§{value}", "B_FILE": f"/§{value}"}) as env:
            env.integer("A", 1, at_least=0, at_most=9)
            env.seconds("A", 1, at_least=0, at_most=9)
            env.flag("A", default=False)
            env.address("A", "x:1")
            env.secret("B")

    with pytest.raises(settings.SettingsError) as raised:
        load()

    assert "§" not in str(raised.value)


@given(st.integers(-(10**17), 10**17))
def test_whole_numbers_come_back(value: int):
    with settings.read({"A": str(value)}) as env:
        assert env.integer("A", at_least=-(10**17), at_most=10**17) == value
