"""What a person types to find messages is read as they mean it, and shown where it was found."""

import pytest
from hypothesis import given, strategies as st

from history_service import words
from history_service.words import Forms, Marks, Piece, Term


@pytest.mark.parametrize(
    ("typed", "terms"),
    [
        ("pedido atrasado", [Term(("pedido",), False, False), Term(("atrasado",), False, False)]),
        ('"bom dia" pedido', [Term(("bom", "dia"), True, False), Term(("pedido",), False, False)]),
        ("pedido -boleto", [Term(("pedido",), False, False), Term(("boleto",), False, True)]),
        ('-"bom dia"', [Term(("bom", "dia"), True, True)]),
        ("ana@loja.com", [Term(("ana", "loja", "com"), False, False)]),
        ("“bom dia” «boa noite»", [Term(("bom", "dia"), True, False), Term(("boa", "noite"), True, False)]),
        ("¿hola? fim—começo", [Term(("hola",), False, False), Term(("fim", "começo"), False, False)]),
        ('"sem fim', [Term(("sem", "fim"), True, False)]),
        ("\uff50\uff45\uff44\uff49\uff44\uff4f", [Term(("pedido",), False, False)]),
        ("!!! ?? --", []),
        ("", []),
    ],
)
def test_a_query_is_words_phrases_and_what_is_unwanted(typed: str, terms: list[Term]):
    assert words.read(typed) == terms


FORMS = {
    "compras": Forms(["compras"], ["compr", "compra"]),
    "casa": Forms(["casa"], ["cas"]),
    "bom": Forms(["bom"], ["bom"]),
    "dia": Forms(["dia"], ["dia"]),
    "d'agua": Forms(["d'agua"], []),
    "🙂": Forms([], []),
}


@pytest.mark.parametrize(
    ("terms", "query"),
    [
        ([Term(("compras",), False, False)], "(('compr':*))"),
        ([Term(("casa",), False, False)], "(('casa':*))"),
        ([Term(("bom", "dia"), True, False)], "('bom' <-> 'dia')"),
        ([Term(("bom", "dia"), False, False)], "('bom' <-> ('dia':*))"),
        ([Term(("casa",), False, False), Term(("dia",), False, True)], "(('casa':*)) & !(('dia'))"),
        ([Term(("d'agua",), False, False)], "(('d''agua':*))"),
        ([Term(("casa",), False, True)], ""),
        ([Term(("🙂",), False, False)], ""),
        ([Term(("casa",), False, False), Term(("🙂",), False, False)], ""),
        ([], ""),
    ],
)
def test_the_index_is_asked_for_beginnings_and_stems_and_for_phrases_as_they_are(
    terms: list[Term], query: str
):
    assert words.query(terms, FORMS) == query


def test_what_was_found_is_marked_whatever_its_case_and_accents():
    marked = words.marks(words.read('JOAO "bom dia"'), {"JOAO": Forms(["joao"], []), "dia": Forms([], [])})

    assert words.snippet("Oi, João! Bom dia, diário", marked) == [
        Piece("Oi, ", False),
        Piece("João", True),
        Piece("! ", False),
        Piece("Bom", True),
        Piece(" ", False),
        Piece("dia", True),
        Piece(", diário", False),
    ]


@pytest.mark.parametrize("text", ["Disse “olá”", "¡Olá! ¿qué tal?", "fim—olá…", "«olá»"])
def test_what_stands_between_signs_of_any_kind_is_marked_without_them(text: str):
    assert Piece("olá", True) in words.snippet(text.lower(), Marks((), frozenset({"ola"})))


def test_a_long_text_is_cut_around_what_was_found():
    text = "blá " * 100 + "pedido " + "fim " * 100

    pieces = words.snippet(text, Marks(("ped",), frozenset()))

    assert pieces[0] == Piece("…", False)
    assert Piece("pedido", True) in pieces
    assert pieces[-1] == Piece("…", False)
    assert sum(len(piece.text) for piece in pieces) < 200


@given(st.text(max_size=400), st.text(max_size=50))
def test_any_query_can_be_read_and_any_text_shown(text: str, typed: str):
    terms = words.read(typed)
    forms = {word: Forms([word.lower()], []) for term in terms for word in term.words}

    words.query(terms, forms)
    pieces = words.snippet(text, words.marks(terms, forms))

    assert "".join(piece.text for piece in pieces).replace("…", "") in text.replace("…", "")
