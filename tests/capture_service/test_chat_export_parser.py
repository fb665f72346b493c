import json
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, strategies as st

from capture_service.chat_export import authors, parser

SAO_PAULO: Final = ZoneInfo("America/Sao_Paulo")
LRM: Final = "\u200e"
NNBSP: Final = "\u202f"
# Samples of other projects, where somebody has put them beside the repository: never part of it.
SAMPLES: Final = Path(__file__).resolve().parents[3] / "shared" / "chat-exports"


def arabic(text: str) -> str:
    return text.translate({ord("0") + digit: 0x660 + digit for digit in range(10)})


def read(text: str, date_order: parser.DateOrder | None = None) -> parser.Chat:
    return parser.parse(text, zone=SAO_PAULO, date_order=date_order)


def only_line(text: str, date_order: parser.DateOrder | None = None) -> parser.Line:
    (line,) = read(text, date_order).lines
    return line


def local(line: parser.Line) -> str:
    return line.at.astimezone(SAO_PAULO).strftime("%Y-%m-%d %H:%M:%S")


def android(body: str) -> parser.Line:
    """Read what Ana sent from an Android phone."""
    return only_line(f"31/10/2026 14:33 - Ana: {body}")


def ios(body: str) -> parser.Line:
    """Read what Ana sent from an iPhone."""
    return only_line(f"[31/10/2026, 14:33:10] Ana: {body}")


@pytest.mark.parametrize(
    ("header", "when", "platform"),
    [
        ("31/10/2026 14:33 - ", "2026-10-31 14:33:00", "android"),
        ("31/10/2026, 14:33 - ", "2026-10-31 14:33:00", "android"),
        ("31/10/26, 14:33 \u2013 ", "2026-10-31 14:33:00", "android"),
        ("31/10/2026 às 14:33 - ", "2026-10-31 14:33:00", "android"),
        ("10/31/26, 2:33 PM - ", "2026-10-31 14:33:00", "android"),
        (f"10/31/26, 2:33{NNBSP}PM - ", "2026-10-31 14:33:00", "android"),
        ("31/10/26, 2:33 p. m. - ", "2026-10-31 14:33:00", "android"),
        ("31/10/26, 2:33 p.\xa0m. - ", "2026-10-31 14:33:00", "android"),
        ("31/10/26 2:33 a.m. - ", "2026-10-31 02:33:00", "android"),
        ("31/10/26, 12:33 am - ", "2026-10-31 00:33:00", "android"),
        ("31/10/26, 00:33 a. m. - ", "2026-10-31 00:33:00", "android"),
        ("31/10/26, 12:33 pm - ", "2026-10-31 12:33:00", "android"),
        ("31.10.26, 14:33 - ", "2026-10-31 14:33:00", "android"),
        ("31-10-2026 14.33 - ", "2026-10-31 14:33:00", "android"),
        ("31.10.2026 klo 14.33 - ", "2026-10-31 14:33:00", "android"),
        ("2026-10-31, 14:33 - ", "2026-10-31 14:33:00", "android"),
        ("2026/10/31, 14:33 - ", "2026-10-31 14:33:00", "android"),
        ("2026-10-31 14 h 33 - ", "2026-10-31 14:33:00", "android"),
        ("31. 10. 2026. 14:33 - ", "2026-10-31 14:33:00", "android"),
        (arabic("31\u200f/10\u200f/2026\u060c 2:33 \u0645 - "), "2026-10-31 14:33:00", "android"),
        (arabic("31/10/2026\u060c 2:33 \u0635 - "), "2026-10-31 02:33:00", "android"),
        ("[31/10/2026, 14:33:10] ", "2026-10-31 14:33:10", "ios"),
        ("[31/10/2026 14:33:10] ", "2026-10-31 14:33:10", "ios"),
        (f"[10/31/26, 2:33:10{NNBSP}PM] ", "2026-10-31 14:33:10", "ios"),
        ("[31/10/26 2:33:10 p. m.] ", "2026-10-31 14:33:10", "ios"),
        ("[31.10.26, 14:33:10] ", "2026-10-31 14:33:10", "ios"),
        ("[2026-10-31, 14:33:10] ", "2026-10-31 14:33:10", "ios"),
        ("[2026-10-31, 14 h 33 min 10 s] ", "2026-10-31 14:33:10", "ios"),
        (f"{LRM}[31/10/2026, 14:33:10] ", "2026-10-31 14:33:10", "ios"),
        ("\ufeff\u200f[31/10/2026, 14:33:10] ", "2026-10-31 14:33:10", "ios"),
        ("31.10.26 14.33.10: ", "2026-10-31 14:33:10", "ios"),
    ],
)
def test_date_and_time_are_read_as_each_phone_writes_them(header: str, when: str, platform: str) -> None:
    chat = read(f"{header}Ana: oi")

    (line,) = chat.lines
    assert (local(line), line.author, line.text, line.kind) == (when, "Ana", "oi", "text")
    assert line.at.tzinfo is UTC
    assert line.has_seconds is when.endswith(":10")
    assert (chat.platform, chat.is_ambiguous) == (platform, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n \u200e\n",
        "Bom dia!",
        "Bom dia!\n31/10/2026 14:33 - Ana: oi",
        "31/10/2026 Ana: oi",
        "31/10/2026 25:33 - Ana: oi",
        "31/10/2026 14:60 - Ana: oi",
        "31/10-2026 14:33 - Ana: oi",
        "31/10/6 14:33 - Ana: oi",
        "2026/10/2026 14:33 - Ana: oi",
        "[31/10/2026, 14:33:10 Ana: oi",
        "31/10/2026, 14:33:10] Ana: oi",
        "31/10/2026 14:33: oi",
        "32/13/2026 14:33 - Ana: oi",
        "31/02/2026 14:33 - Ana: oi",
        "31/10/1402 14:33 - Ana: oi",
        "[06/2026/13, 21:25:15] Ana: oi",
    ],
)
def test_what_does_not_begin_as_a_chat_is_none(text: str) -> None:
    with pytest.raises(parser.NotAChat) as caught:
        read(text)

    assert "oi" not in caught.value.reason.split()


def test_blank_lines_before_a_chat_do_not_count() -> None:
    assert only_line("\n \n31/10/2026 14:33 - Ana: oi").number == 3


def test_a_message_goes_on_until_the_next_begins() -> None:
    chat = read("31/10/2026 14:33 - Ana: um\r\n\r\n dois  \r\n31/10/2026 14:34 - Rui: três\r\n")

    assert [(line.number, line.author, line.text) for line in chat.lines] == [
        (1, "Ana", "um\n\n dois"),
        (4, "Rui", "três"),
    ]
    assert chat.participants == {"Ana": 1, "Rui": 1}


def test_participants_come_in_the_order_in_which_they_appear() -> None:
    chat = read(
        "31/10/2026 14:33 - Rui criou o grupo\n"
        "31/10/2026 14:33 - Zé: <Mídia oculta>\n"
        "31/10/2026 14:34 - Ana: oi\n"
        "31/10/2026 14:35 - Zé: Mensagem apagada"
    )

    assert list(chat.participants.items()) == [("Zé", 2), ("Ana", 1)]


# --- the order of day and month


@pytest.mark.parametrize(
    ("dates", "order"),
    [
        (["01/02/2026", "13/02/2026"], "dmy"),
        (["01/02/2026", "02/13/2026"], "mdy"),
        # No day above 12: read the other way, the second line would come before the first.
        (["10/02/2026", "01/03/2026"], "dmy"),
        (["02/10/2026", "03/01/2026"], "mdy"),
        (["03/03/2026", "04/04/2026"], "dmy"),
        (["2026/02/01", "2026/02/02"], "ymd"),
    ],
)
def test_the_whole_file_tells_day_from_month(dates: Sequence[str], order: str) -> None:
    chat = read("\n".join(f"{date}, 10:00 - Ana: oi" for date in dates))

    assert (chat.date_order, chat.is_ambiguous, len(chat.lines)) == (order, False, len(dates))


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("1/2/26, 2:33 PM - Ana: hi", "mdy"),
        (f"[1/2/26, 2:33:10{NNBSP}PM] Ana: hi", "mdy"),
        ("1/2/2026, 2:33 PM - Ana: hi", "dmy"),
        ("1/2/26, 2:33 pm - Ana: hi", "dmy"),
        ("1/2/26, 2:33 p. m. - Ana: hola", "dmy"),
        ("1.2.26, 2:33 PM - Ana: hallo", "dmy"),
        ("1/2/26, 14:33 - Ana: oi", "dmy"),
        (
            "1/2/26, 2:33 PM - I messaggi e le chiamate sono crittografati end-to-end.\n"
            "1/2/26, 2:33 PM - Ana: ciao",
            "dmy",
        ),
        (
            "1/2/26, 2:33 PM - Messages and calls are end-to-end encrypted.\n1/2/26, 2:33 PM - Ana: hi",
            "mdy",
        ),
    ],
)
def test_where_nothing_tells_the_looks_of_the_file_do_and_it_says_so(text: str, order: str) -> None:
    chat = read(text)

    assert (chat.date_order, chat.is_ambiguous) == (order, True)


@pytest.mark.parametrize(
    ("order", "when"),
    [("dmy", "2009-08-07"), ("mdy", "2009-07-08"), ("ymd", "2007-08-09")],
)
def test_where_nothing_tells_the_caller_may(order: parser.DateOrder, when: str) -> None:
    chat = read("07/08/09, 10:00 - Ana: oi", order)

    assert local(chat.lines[0]).startswith(when)
    assert (chat.date_order, chat.is_ambiguous) == (order, False)


def test_an_order_that_the_dates_forbid_is_not_followed() -> None:
    chat = read("13/02/2026 10:00 - Ana: oi\n14/02/2026 10:00 - Ana: oi", "mdy")

    assert (chat.date_order, len(chat.lines)) == ("dmy", 2)


def test_a_date_that_does_not_exist_begins_no_message() -> None:
    chat = read("27/02/2026 10:00 - Ana: oi\n30/02/2026 10:00 - Rui: não\n28/02/2026 10:00 - Ana: tchau")

    assert [line.text for line in chat.lines] == ["oi\n30/02/2026 10:00 - Rui: não", "tchau"]


# --- clocks


def test_a_time_that_the_clocks_skipped_is_read_as_if_they_had_not() -> None:
    line = only_line("04/11/2018 00:30 - Ana: oi", "dmy")

    assert line.at == datetime(2018, 11, 4, 3, 30, tzinfo=UTC)


def test_of_a_time_that_came_twice_the_first_is_meant() -> None:
    line = only_line("17/02/2018 23:30 - Ana: oi")

    assert line.at == datetime(2018, 2, 18, 1, 30, tzinfo=UTC)


def test_in_an_hour_that_comes_twice_the_file_tells_which_is_meant() -> None:
    chat = parser.parse(
        "".join(f"25.10.26, {at} - Ana: oi\n" for at in ("02:50", "02:10", "02:55", "03:05", "02:30")),
        zone=ZoneInfo("Europe/Berlin"),
    )

    assert [f"{line.at:%H:%M}" for line in chat.lines] == ["00:50", "01:10", "01:55", "02:05", "00:30"]


# --- authors


@pytest.mark.parametrize(
    ("header", "author"),
    [
        ("Ana Lúcia", "Ana Lúcia"),
        ("🤓", "🤓"),
        ("+55 11 98888-7777", "+55 11 98888-7777"),
        ("\u202a+55\xa011\xa098888\u20117777\u202c", "+55 11 98888\u20117777"),
        (f"~{NNBSP}Ana", "~ Ana"),
        (f"{LRM}Ana", "Ana"),
    ],
)
def test_an_author_is_a_name_or_a_number_without_marks(header: str, author: str) -> None:
    assert only_line(f"[31/10/2026, 14:33:10] {header}: oi").author == author


def test_a_name_with_a_colon_is_known_by_all_its_lines_sharing_it() -> None:
    chat = read(
        "31/10/2026 14:33 - Loja: Centro: bom dia\n"
        "31/10/2026 14:33 - Ana: Pedido: dois\n"
        "31/10/2026 14:34 - Loja: Centro: pronto: pode vir\n"
        "31/10/2026 14:35 - Ana: já vou\n"
        "31/10/2026 14:35 - Loja: Centro:\n"
        "31/10/2026 14:35 - Ana: Obs: sem pressa"
    )

    assert chat.participants == {"Loja: Centro": 3, "Ana": 3}
    assert [line.text for line in chat.lines] == [
        "bom dia",
        "Pedido: dois",
        "pronto: pode vir",
        "já vou",
        "",
        "Obs: sem pressa",
    ]


def test_an_author_of_one_line_has_the_shorter_name() -> None:
    line = only_line("31/10/2026 14:33 - Ana: Pedido: dois")

    assert (line.author, line.text) == ("Ana", "Pedido: dois")


def test_two_messages_that_begin_alike_keep_their_words() -> None:
    chat = read(
        "31/10/2026 14:33 - Ana: Endereço: Rua A\n"
        "31/10/2026 14:33 - Padaria: ok\n"
        "31/10/2026 14:34 - Ana: Endereço: Rua B"
    )

    assert chat.participants == {"Ana": 2, "Padaria": 1}
    assert [line.text for line in chat.lines] == ["Endereço: Rua A", "ok", "Endereço: Rua B"]


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("+55 11 4000-0000", "\u202a+55\xa011\xa04000\u20110000\u202c"),
        ("\u202a+55 11 4000\u20110000\u202c", "+55 11 4000-0000"),
        (" café  Aurora", "Cafe\u0301 Aurora"),
        (f"{LRM}Ana", "Ana"),
    ],
)
def test_a_name_is_compared_as_people_type_it(typed: str, written: str) -> None:
    assert authors.key(typed) == authors.key(written)


def test_names_with_figures_are_more_than_their_figures() -> None:
    assert len({authors.key(name) for name in ("Loja 1", "Bar 1", "1", "-", "()", "Loja")}) == 6


@pytest.mark.parametrize(
    ("business", "text"), [("Loja: Centro", "Pedido: dois"), ("Loja", "Centro: Pedido: dois")]
)
@pytest.mark.parametrize("count", [1, 5])
def test_a_name_that_the_caller_knows_is_no_matter_of_evidence(business: str, text: str, count: int) -> None:
    chat = parser.parse(
        "31/10/2026 14:33 - Loja: Centro: Pedido: dois\n" * count, zone=SAO_PAULO, business=business
    )

    assert chat.participants == {business: count}
    assert {line.text for line in chat.lines} == {text}


@pytest.mark.parametrize(
    "body", [f"{LRM}<attached: 00000012-PHOTO-2026.jpg>", "Location: https://maps.google.com/?q=1,2"]
)
def test_what_someone_sends_twice_is_no_part_of_the_name(body: str) -> None:
    chat = read(f"[31/10/2026, 14:33:10] Ana: {body}\n[31/10/2026, 14:33:11] Ana: {body}")

    assert chat.participants == {"Ana": 2}


@pytest.mark.parametrize(
    "notice",
    [
        "As mensagens e ligações são protegidas com a criptografia de ponta a ponta.",
        "Ana criou o grupo \u201cFérias\u201d",
        'Ana changed the subject from "Sale: today" to "Sale: over"',
        "Seu código de segurança com Loja: Centro mudou. Toque para saber mais.",
        "+55 11 98888-7777 saiu",
        "",
    ],
)
def test_what_nobody_says_on_android_is_a_notice(notice: str) -> None:
    line = only_line(f"31/10/2026 14:33 - {notice}")

    assert (line.author, line.kind, line.text) == (None, "system", notice)


def test_a_name_with_quotes_is_one_that_says_more_than_one_thing() -> None:
    chat = read('31/10/2026 14:33 - João "Zé": oi\n31/10/2026 14:34 - João "Zé": oi')

    assert chat.participants == {'João "Zé"': 2}


def test_what_is_too_long_for_a_name_is_none() -> None:
    line = only_line(f"31/10/2026 14:33 - {'a' * authors.CHARS_MAX}: oi")

    assert line.author is None


@pytest.mark.parametrize(
    "notice",
    [
        "Messages and calls are end-to-end encrypted. No one outside of this chat can read them.",
        "Rui changed the group description",
        "Missed voice call",
        "Você criou este grupo",
    ],
)
def test_on_ios_a_notice_is_attributed_to_someone_and_marked(notice: str) -> None:
    chat = read(f"[31/10/2026, 14:33:09] Ana: oi\n[31/10/2026, 14:33:10] Férias: {LRM}{notice}")

    line = chat.lines[1]
    assert (line.author, line.kind, line.text) == (None, "system", notice)
    assert chat.participants == {"Ana": 1}


def test_the_first_notice_of_an_older_iphone_is_not_marked() -> None:
    line = ios("Messages to this chat and calls are now secured with end-to-end encryption.")

    assert (line.author, line.kind) == (None, "system")


@pytest.mark.parametrize(
    "body", ["Localização: https://maps.google.com/?q=1,2", "POLL:\nQual?\nOPTION: A (1 vote)"]
)
def test_a_place_and_a_poll_are_said_by_someone_though_ios_marks_them(body: str) -> None:
    line = ios(LRM + body)

    assert (line.author, line.kind, line.text) == ("Ana", "text", body)


# --- what WhatsApp writes instead of a message


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Media omitted", None),
        ("Mídia oculta", None),
        ("Mídia omitida", None),
        ("Arquivo de mídia oculto", None),
        ("Ficheiro não revelado", None),
        ("Multimedia omitido", None),
        ("Archivo omitido", None),
        ("Medien ausgeschlossen", None),
        ("Médias omis", None),
        ("Fichier omis", None),
        ("Media omessi", None),
        ("Media omesso", None),
        ("View once voice message omitted", "audio"),
        ("Video note omitted", "video"),
    ],
)
def test_media_left_out_by_android_are_media(words: str, kind: str | None) -> None:
    line = android(f"<{words}>\nolha só")

    assert (line.kind, line.media_kind, line.media_name, line.text) == ("media", kind, None, "olha só")
    assert line.author == "Ana"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "image",
            (
                "image omitted",
                "imagem ocultada",
                "imagen omitida",
                "Bild weggelassen",
                "image absente",
                "immagine omessa",
            ),
        ),
        (
            "video",
            (
                "video omitted",
                "vídeo omitido",
                "Video omitido",
                "Video weggelassen",
                "vidéo absente",
                "video omesso",
            ),
        ),
        (
            "audio",
            (
                "audio omitted",
                "áudio ocultado",
                "audio omitido",
                "Audio weggelassen",
                "audio omis",
                "audio omesso",
            ),
        ),
        (
            "sticker",
            (
                "sticker omitted",
                "figurinha omitida",
                "sticker omitido",
                "Sticker weggelassen",
                "sticker omis",
                "sticker non incluso",
            ),
        ),
        ("gif", ("GIF omitted", "GIF omitido", "GIF weggelassen", "GIF retiré", "GIF esclusa")),
        (
            "document",
            (
                "document omitted",
                "documento omitido",
                "Dokument weggelassen",
                "document manquant",
                "documento omesso",
            ),
        ),
        (
            "contact",
            (
                "Contact card omitted",
                "Cartão do contato omitido",
                "Tarjeta de contacto omitida",
                "Kontaktkarte ausgelassen",
                "Fiche contact manquante",
                "Scheda contatto omessa",
            ),
        ),
    ],
)
def test_media_left_out_by_ios_are_media_of_a_kind(kind: str, words: Sequence[str]) -> None:
    for said in words:
        for line in (ios(LRM + said), ios(said), ios(f"olha só {LRM}{said}")):
            assert (line.kind, line.media_kind, line.author) == ("media", kind, "Ana")
        assert ios(f"olha só {LRM}{said}").text == "olha só"


@pytest.mark.parametrize(
    ("own", "name"),
    [("documento omitido", "contrato.pdf"), ("<anexado: 00000012-contrato.pdf>", "00000012-contrato.pdf")],
)
@pytest.mark.parametrize("title", ["contrato.pdf", f"contrato.pdf \u2022 {LRM}3 páginas"])
def test_the_name_of_a_document_is_no_caption_of_it(title: str, own: str, name: str) -> None:
    line = ios(f"{title} {LRM}{own}")

    assert (line.media_kind, line.media_name, line.text) == ("document", name, "")
    assert line.title == title.replace(LRM, "")


@pytest.mark.parametrize(
    "caption", ["segue", "contrato assinado.", "a • b", "um.pdf e dois.pdf, os contratos"]
)
def test_the_caption_of_a_document_is_kept(caption: str) -> None:
    for own in ("documento omitido", "<anexado: 00000012-contrato.pdf>"):
        line = ios(f"{caption} {LRM}{own}")

        assert (line.media_kind, line.text, line.title) == ("document", caption, "")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("IMG-20261005-WA0012.jpg", "image"),
        ("IMG-20261005-WA0012.webp", "image"),
        ("VID-20261005-WA0012.mp4", "video"),
        ("PTT-20261005-WA0012.opus", "audio"),
        ("AUD-20261005-WA0012.m4a", "audio"),
        ("STK-20261005-WA0012.webp", "sticker"),
        ("DOC-20261005-WA0012.jpg", "document"),
        ("00000012-PHOTO-2026-10-05-14-33-10.jpg", "image"),
        ("00000012-VIDEO-2026-10-05-14-33-10.mp4", "video"),
        ("00000012-GIF-2026-10-05-14-33-10.mp4", "gif"),
        ("00000012-AUDIO-2026-10-05-14-33-10.opus", "audio"),
        ("00000012-STICKER-2026-10-05-14-33-10.webp", "sticker"),
        ("00000012-Tabela de preços (1).xlsx", "document"),
        ("Ana Lúcia.vcf", "contact"),
        ("Relatório: 2026.PDF", "document"),
        ("foto.JPG", "image"),
    ],
)
def test_a_file_that_came_along_is_known_by_its_name(name: str, kind: str) -> None:
    for line in (
        android(f"{LRM}{name} (arquivo anexado)\nsegue"),
        ios(f"{LRM}<anexado: {name}>\nsegue"),
        ios(f"segue {LRM}<anexado: {name}>"),
    ):
        assert (line.kind, line.media_name, line.media_kind, line.text) == ("media", name, kind, "segue")


@pytest.mark.parametrize(
    "words",
    [
        "file attached",
        "arquivo anexado",
        "ficheiro anexado",
        "archivo adjunto",
        "Datei angehängt",
        "fichier joint",
        "file allegato",
    ],
)
def test_android_says_in_words_that_a_file_came_along(words: str) -> None:
    line = android(f"Contrato.pdf \u2022 {LRM}3 páginas {LRM}({words})")

    assert (line.kind, line.media_name, line.text) == ("media", "Contrato.pdf", "")


@pytest.mark.parametrize(
    "tag",
    [
        "<attached: x.jpg>",
        "<anexado: x.jpg>",
        "<anexo: x.jpg>",
        "<adjunto: x.jpg>",
        "<Anhang: x.jpg>",
        "<pièce jointe : x.jpg>",
        "<pièce jointe\xa0: x.jpg>",
        "<allegato: x.jpg>",
        f"x.jpg <{LRM}attached>",
    ],
)
def test_ios_says_in_a_tag_that_a_file_came_along(tag: str) -> None:
    line = ios(LRM + tag)

    assert (line.kind, line.media_name, line.media_kind) == ("media", "x.jpg", "image")


def test_the_file_names_of_whatsapp_are_known_in_languages_that_are_not() -> None:
    assert android("IMG-20261005-WA0012.jpg (soubor byl přiložen)").media_kind == "image"
    assert ios(f"{LRM}<bijlage: 00000012-PHOTO-2026-10-05.jpg>").media_name == "00000012-PHOTO-2026-10-05.jpg"


@pytest.mark.parametrize(
    "body",
    [
        "veja o contrato (arquivo anexado)",
        "../../etc/passwd.txt (arquivo anexado)",
        "a <attached: x.jpg> b",
        "<attached: ../x.jpg>",
        "<3",
        "escreveu <Mídia oculta> ontem",
        "x > y",
    ],
)
def test_words_that_only_resemble_a_file_are_words(body: str) -> None:
    assert (android(body).kind, android(body).text) == ("text", body)


@pytest.mark.parametrize(
    "words",
    [
        "This message was deleted",
        "You deleted this message",
        "This message was deleted by admin Rui.",
        "Mensagem apagada",
        "Esta mensagem foi apagada",
        "Essa mensagem foi apagada",
        "Você apagou esta mensagem",
        "Se eliminó este mensaje.",
        "Este mensaje fue eliminado",
        "Eliminaste este mensaje.",
        "Diese Nachricht wurde gelöscht.",
        "Du hast diese Nachricht gelöscht.",
        "Ce message a été supprimé",
        "Vous avez supprimé ce message",
        "Questo messaggio è stato eliminato",
        "Hai eliminato questo messaggio.",
    ],
)
def test_a_deleted_message_is_its_authors_and_empty(words: str) -> None:
    for line in (android(words), ios(LRM + words)):
        assert (line.author, line.kind, line.text) == ("Ana", "deleted", "")


@pytest.mark.parametrize(
    "words",
    [
        "This message was edited",
        "Mensagem editada",
        "Esta mensagem foi editada",
        "Se editó este mensaje.",
        "Diese Nachricht wurde bearbeitet.",
        "Ce message a été modifié",
        "Questo messaggio è stato modificato",
    ],
)
def test_that_a_message_was_edited_is_no_part_of_its_text(words: str) -> None:
    for line in (android(f"até já <{words}>"), ios(f"até já {LRM}<{words}>")):
        assert (line.kind, line.text, line.is_edited) == ("text", "até já", True)


def test_an_edited_caption_is_edited() -> None:
    line = ios(f"segue {LRM}<attached: x.jpg> {LRM}<This message was edited>")

    assert (line.kind, line.text, line.media_name, line.is_edited) == ("media", "segue", "x.jpg", True)


@pytest.mark.parametrize(
    "text",
    [
        "31/10/2026 14:33 - Ana: ",
        "31/10/2026 14:33 - Ana:",
        "31/10/2026 14:33 - Ana:.",
        "31/10/2026 14:33 - Ana: null",
        f"[31/10/2026, 14:33:10] Ana: {LRM}",
        f"[31/10/2026, 14:33:10] Ana: {LRM}Waiting for this message. This may take a while.",
    ],
)
def test_what_was_sent_and_cannot_be_shown_is_empty(text: str) -> None:
    line = only_line(text)

    assert (line.author, line.kind, line.text) == ("Ana", "empty", "")


def test_an_iphone_that_writes_null_means_it() -> None:
    assert (ios("null").kind, ios("null").text) == ("text", "null")


def test_marks_are_trimmed_and_the_paired_ones_removed() -> None:
    line = ios(f"{LRM} \u2068@Rui\u2069 e \u202a+55 11 98888-7777\u202c, vejam 👩\u200d👧 \u200f")

    assert line.kind == "system"
    assert line.text == "@Rui e +55 11 98888-7777, vejam 👩\u200d👧"


# --- lines that only look like the first of a message


def test_a_transcript_from_another_phone_is_part_of_the_message() -> None:
    pasted = "[31/10/2026, 14:30:00] Zé: um\n10/31/26, 2:31 PM - Zé: dois\n31/10/2026, 14:32 - Zé: três"
    chat = read(f"31/10/2026 14:33 - Ana: veja\n{pasted}\n31/10/2026 14:34 - Ana: viu?")

    assert [line.text for line in chat.lines] == [f"veja\n{pasted}", "viu?"]


def test_an_old_transcript_of_another_chat_is_part_of_the_message() -> None:
    pasted = "12/03/2025 10:00 - Zé: um\n12/03/2025 10:01 - Bia: dois\n13/03/2025 10:02 - Zé: três"
    chat = read(f"31/10/2026 14:33 - Ana: veja\n{pasted}\n31/10/2026 14:34 - Rui: vi")

    assert [line.text for line in chat.lines] == [f"veja\n{pasted}", "vi"]
    assert chat.participants == {"Ana": 1, "Rui": 1}


def test_a_message_that_arrived_late_is_a_message() -> None:
    chat = read(
        "30/10/2026 14:33 - Rui: oi\n31/10/2026 14:33 - Ana: oi\n28/10/2026 09:00 - Rui: sem sinal\n"
        "31/10/2026 14:34 - Ana: ok"
    )

    assert [line.text for line in chat.lines] == ["oi", "oi", "sem sinal", "ok"]


def test_a_clock_that_was_wrong_at_the_beginning_costs_nothing() -> None:
    later = "".join(f"31/10/2026 14:3{minute} - Rui: oi\n" for minute in range(5))
    chat = read(f"31/10/2036 14:33 - Ana: oi\n{later}")

    assert len(chat.lines) == 6


def test_a_transcript_with_a_name_of_this_chat_cannot_be_told() -> None:
    chat = read(
        "31/10/2026 14:33 - Ana: lembra?\n12/03/2025 10:00 - Ana: pago amanhã\n31/10/2026 14:34 - Ana: pois"
    )

    assert [line.text for line in chat.lines] == ["lembra?", "pago amanhã", "pois"]


def test_on_ios_a_line_inside_a_message_follows_a_bare_line_feed() -> None:
    chat = read(
        "[31/10/2026, 14:33:10] Ana: veja\n[31/10/2026, 14:30:00] Zé: um\r\n"
        "[31/10/2026, 14:34:10] Rui: vi\r\n[31/10/2026, 14:35:10] Ana: pois\r\n"
    )

    assert [line.text for line in chat.lines] == ["veja\n[31/10/2026, 14:30:00] Zé: um", "vi", "pois"]


def test_line_ends_that_someone_rewrote_say_nothing() -> None:
    chat = read(
        "[31/10/2026, 14:33:10] Ana: um\n[31/10/2026, 14:34:00] Rui: dois\n[31/10/2026, 14:35:10] Ana: oi\r\n"
    )

    assert len(chat.lines) == 3


# --- whole files


def test_an_android_group_in_portuguese() -> None:
    chat = read(
        "05/10/2026 14:20 - As mensagens e ligações são protegidas com a criptografia de ponta a ponta.\n"
        "05/10/2026 14:20 - Ana criou o grupo \u201cObra 12\u201d\n"
        "05/10/2026 14:33 - Ana Lúcia: IMG-20261005-WA0012.jpg (arquivo anexado)\n"
        "Segue: a fachada\n"
        "de ontem\n"
        "05/10/2026 14:34 - \u202a+55 11 98888-7777\u202c: <Mídia oculta>\n"
        "05/10/2026 14:35 - Ana Lúcia: Mensagem apagada\n"
        "05/10/2026 14:36 - Ana Lúcia: chego às 15:00 <Mensagem editada>\n"
        "05/10/2026 14:37 - Ana Lúcia: null\n"
        "15/10/2026 08:00 - +55 11 98888-7777 saiu\n"
    )

    assert [(line.number, line.author, line.kind, line.text) for line in chat.lines] == [
        (1, None, "system", "As mensagens e ligações são protegidas com a criptografia de ponta a ponta."),
        (2, None, "system", "Ana criou o grupo \u201cObra 12\u201d"),
        (3, "Ana Lúcia", "media", "Segue: a fachada\nde ontem"),
        (6, "+55 11 98888-7777", "media", ""),
        (7, "Ana Lúcia", "deleted", ""),
        (8, "Ana Lúcia", "text", "chego às 15:00"),
        (9, "Ana Lúcia", "empty", ""),
        (10, None, "system", "+55 11 98888-7777 saiu"),
    ]
    assert chat.participants == {"Ana Lúcia": 4, "+55 11 98888-7777": 1}
    assert (chat.platform, chat.date_order, chat.is_ambiguous) == ("android", "dmy", False)
    assert not any(line.has_seconds for line in chat.lines)


def test_an_american_iphone() -> None:
    chat = read(
        f"[10/5/26, 2:20:00{NNBSP}PM] Ana: {LRM}Messages and calls are end-to-end encrypted.\r\n"
        f"[10/5/26, 2:33:10{NNBSP}PM] Ana: Here you are\nand more\r\n"
        f"{LRM}[10/5/26, 2:33:11{NNBSP}PM] Ana: {LRM}<attached: 00000003-PHOTO-2026-10-05-14-33-11.jpg>\r\n"
        f"[10/15/26, 12:00:00{NNBSP}AM] Bob: thx {LRM}<This message was edited>\r\n"
        f"{LRM}[10/15/26, 12:00:05{NNBSP}AM] Bob: {LRM}You deleted this message.\r\n"
    )

    assert [(local(line), line.author, line.kind, line.text) for line in chat.lines] == [
        ("2026-10-05 14:20:00", None, "system", "Messages and calls are end-to-end encrypted."),
        ("2026-10-05 14:33:10", "Ana", "text", "Here you are\nand more"),
        ("2026-10-05 14:33:11", "Ana", "media", ""),
        ("2026-10-15 00:00:00", "Bob", "text", "thx"),
        ("2026-10-15 00:00:05", "Bob", "deleted", ""),
    ]
    assert (chat.platform, chat.date_order, chat.participants) == ("ios", "mdy", {"Ana": 2, "Bob": 2})


@pytest.mark.parametrize(
    ("notice", "omitted", "deleted", "edited"),
    [
        (
            "Messages and calls are end-to-end encrypted.",
            "<Media omitted>",
            "This message was deleted",
            "<This message was edited>",
        ),
        (
            "Los mensajes y las llamadas están cifrados de extremo a extremo.",
            "<Multimedia omitido>",
            "Se eliminó este mensaje.",
            "<Se editó este mensaje.>",
        ),
        (
            "Nachrichten und Anrufe sind Ende-zu-Ende-verschlüsselt.",
            "<Medien ausgeschlossen>",
            "Diese Nachricht wurde gelöscht.",
            "<Diese Nachricht wurde bearbeitet.>",
        ),
        (
            "Les messages et les appels sont chiffrés de bout en bout.",
            "<Médias omis>",
            "Ce message a été supprimé",
            "<Ce message a été modifié>",
        ),
        (
            "I messaggi e le chiamate sono crittografati end-to-end.",
            "<Media omessi>",
            "Questo messaggio è stato eliminato",
            "<Questo messaggio è stato modificato>",
        ),
    ],
)
def test_an_android_chat_in_each_language(notice: str, omitted: str, deleted: str, edited: str) -> None:
    chat = read(
        f"31.10.26, 14:33 - {notice}\n31.10.26, 14:33 - Ana: {omitted}\n31.10.26, 14:33 - Ana: {deleted}\n"
        f"31.10.26, 14:34 - Ana: ok {edited}\n"
    )

    assert [line.kind for line in chat.lines] == ["system", "media", "deleted", "text"]
    assert (chat.lines[3].text, chat.lines[3].is_edited) == ("ok", True)


# --- samples of other projects, where they are at hand


def test_the_samples_of_chat_miner_give_what_it_expects_of_them() -> None:
    folder = SAMPLES / "chat-miner"
    for path in sorted(folder.glob("*.txt")):
        chat = parser.parse(path.read_text(encoding="utf-8"), zone=ZoneInfo("UTC"))

        said = [
            {
                "timestamp": line.at.strftime("%Y-%m-%dT%H:%M:%S"),
                "author": line.author,
                "message": line.text.replace("\n", " "),
            }
            for line in chat.lines
            if line.kind == "text"
        ]
        assert said[::-1] == json.loads((folder / "target.json").read_text(encoding="utf-8")), path.name
        assert [line.kind for line in chat.lines].count("system") == 2
        assert [line.kind for line in chat.lines].count("empty") == 1
        assert not chat.is_ambiguous


def test_the_headers_of_whatsapp_chat_parser_are_read() -> None:
    # A year in the middle and a time that nothing follows are in no export that we know of.
    unread = re.compile(r"\[06/2018/13|13\. 6\. 2018\. 21:25:15 a")
    for path in SAMPLES.glob("whatsapp-chat-parser/*.txt"):
        for header in path.read_text(encoding="utf-8").splitlines():
            if unread.match(header):
                continue
            line = only_line(header)

            assert (line.author, line.text) == ("a", "m"), ascii(header)
            assert line.at.year == 2018


# --- whatever comes


@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.sampled_from(
                [
                    "31/10/2026 14:33 - ",
                    "1/2/26, 2:33 PM - ",
                    "[31/10/2026, 14:33:10] ",
                    arabic("31/12/2023\u060c 10:05 \u0645 - "),
                    "99/99/9999 14:33 - ",
                    "Ana: ",
                    LRM,
                    "<attached: x.jpg>",
                    "(arquivo anexado)",
                    "<Mensagem editada>",
                    "Mídia oculta",
                    "\r\n",
                    "\n",
                    ": ",
                    ":",
                    '"',
                ]
            ),
        ),
        max_size=30,
    ).map("".join),
    st.sampled_from([None, "dmy", "mdy", "ymd"]),
)
def test_any_text_is_a_chat_or_none(text: str, date_order: parser.DateOrder | None) -> None:
    try:
        chat = read(text, date_order)
    except parser.NotAChat:
        return

    numbers = [line.number for line in chat.lines]
    assert numbers == sorted(set(numbers))
    assert sum(chat.participants.values()) == sum(line.author is not None for line in chat.lines)
    assert all((line.author is None) == (line.kind == "system") for line in chat.lines)


class Format(NamedTuple):
    header: Callable[[datetime], str]
    date_order: parser.DateOrder
    has_seconds: bool
    end: str = "\n"


def _hour(at: datetime) -> int:
    return at.hour % 12 or 12


FORMATS: Final = {
    "Android pt-BR": Format(lambda at: f"{at:%d/%m/%Y %H:%M} - ", "dmy", has_seconds=False),
    "Android en-US": Format(
        lambda at: f"{at.month}/{at.day}/{at:%y}, {_hour(at)}:{at:%M}{NNBSP}{at:%p} - ",
        "mdy",
        has_seconds=False,
    ),
    "Android es": Format(
        lambda at: f"{at.day}/{at.month}/{at:%y}, {_hour(at)}:{at:%M} {'ap'[at.hour // 12]}.\xa0m. - ",
        "dmy",
        has_seconds=False,
    ),
    "Android de": Format(lambda at: f"{at:%d.%m.%y, %H:%M} - ", "dmy", has_seconds=False),
    "Android ISO": Format(lambda at: f"{at:%Y-%m-%d, %H:%M} - ", "ymd", has_seconds=False, end="\r\n"),
    "Android ar": Format(
        lambda at: arabic(f"{at:%d/%m/%Y}\u060c {at:%H:%M} - "),
        "dmy",
        has_seconds=False,
    ),
    "iOS pt-BR": Format(lambda at: f"[{at:%d/%m/%Y, %H:%M:%S}] ", "dmy", has_seconds=True, end="\r\n"),
    "iOS en-US": Format(
        lambda at: f"[{at.month}/{at.day}/{at:%y}, {_hour(at)}:{at:%M:%S}{NNBSP}{at:%p}] ",
        "mdy",
        has_seconds=True,
        end="\r\n",
    ),
    "iOS de": Format(lambda at: f"[{at:%d.%m.%y, %H:%M:%S}] ", "dmy", has_seconds=True),
    "iOS of old": Format(lambda at: f"{at:%d.%m.%y %H.%M.%S}: ", "dmy", has_seconds=True),
}

_WORDS = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf")), max_size=20),
    st.sampled_from(["Obs: ", "https://a.b/c", "\n", " ", "<3", "10/05/2026", "[14:33]", "(ok)", ": "]),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[datetime, str, str]]:
    name = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20)
    # Nobody is called "Sicherheitsnummer", but where Hypothesis finds the word, it tries it.
    name = name.filter(lambda name: not any(words in name.casefold() for words in authors.NOTICE_WORDS))
    names = draw(st.lists(name, min_size=1, max_size=4, unique=True))
    texts = draw(st.lists(st.tuples(st.sampled_from(names), st.lists(_WORDS).map("".join)), max_size=12))
    at = datetime(2020, 1, 1, tzinfo=SAO_PAULO)
    said: list[tuple[datetime, str, str]] = []
    # Everyone says something short, so that the names are beyond doubt.
    for name, text in [(name, "oi") for name in names] + texts:
        at += timedelta(seconds=draw(st.integers(0, 10_000_000)))
        said.append((at, name, text.strip()))
    return said


@pytest.mark.parametrize("name", FORMATS)
@given(said=conversations())
def test_a_conversation_survives_being_exported(name: str, said: list[tuple[datetime, str, str]]) -> None:
    form = FORMATS[name]
    said = [(at if form.has_seconds else at.replace(second=0), author, text) for at, author, text in said]
    # What WhatsApp would say in its own words nobody says here: the tables above are about that.
    assume(all(android(text).kind == ios(text).kind == ("text" if text else "empty") for _, _, text in said))
    assume(not any(android(text).is_edited for _, _, text in said))
    exported = form.end.join(f"{form.header(at)}{author}: {text}" for at, author, text in said)

    chat = parser.parse(exported, zone=SAO_PAULO, date_order=form.date_order)

    assert [(line.at.astimezone(SAO_PAULO), line.author, line.text) for line in chat.lines] == said
    assert all(line.kind == ("text" if line.text else "empty") for line in chat.lines)
    assert all(line.has_seconds is form.has_seconds for line in chat.lines)
    assert (chat.date_order, chat.is_ambiguous) == (form.date_order, False)


@pytest.mark.parametrize(
    "line",
    [
        "31/10/2026 14:33 - " + "Ana: " * 40,
        "31/10/2026 14:33 - Ana: " + "<attached: " * 40,
        "31/10/2026 14:33 - Ana: " + "a " * 100 + "(arquivo anexado",
        "31/10/2026" + " " * 200,
        LRM * 200,
        "<" * 200,
    ],
)
def test_the_time_to_read_grows_with_the_file_and_no_faster(line: str) -> None:
    def seconds(count: int) -> float:
        text = "31/10/2026 14:33 - Ana: oi\n" + f"{line}\n" * count
        begun = time.process_time()
        read(text)
        return time.process_time() - begun

    # Ten times the text would take a hundred times as long, were it quadratic. Of several tries the least
    # disturbed one counts.
    assert min(seconds(5000) for _ in range(3)) < 40 * max(min(seconds(500) for _ in range(3)), 0.005)


def test_a_text_of_too_many_messages_is_not_read() -> None:
    with pytest.raises(parser.NotAChat, match="500,000"):
        read("31/10/2026 14:33 - a: b\n" * (parser.LINES_MAX + 1))
