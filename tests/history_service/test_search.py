import pytest

from history_service import search


@pytest.mark.parametrize(
    ("typed", "compared"),
    [
        ("JOÃO", "joao"),
        ("  Conceição ", "conceicao"),
        ("\U0001d4d9\U0001d4f8\U0001d4ea\U0001d4f8", "joao"),  # in script letters
        ("ŁUKASZ", "łukasz"),
        ("ИВАН", "иван"),
    ],
)
def test_names_are_compared_without_case_marks_and_ornament(typed: str, compared: str):
    assert search.comparable(typed) == compared


@pytest.mark.parametrize(
    ("typed", "forms"),
    [
        ("+55 (11) 98765-4321", ["5511987654321"]),
        ("55 11 8765-4321", ["551187654321", "5511987654321"]),
        ("11 8765-4321", ["1187654321", "11987654321"]),
        ("55 11 3333-4444", ["551133334444"]),  # a landline never took the ninth digit
        ("+52 55 1234 5678", ["525512345678", "5215512345678"]),
        ("4321", ["4321"]),
        ("Ana 4321", []),
        ("", []),
    ],
)
def test_a_number_is_sought_in_every_form_it_may_be_stored(typed: str, forms: list[str]):
    assert search.number_forms(typed) == forms
