import io
import random
import stat
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from capture_service.chat_export import archive, parser

CHAT: Final = "05/10/2026 14:33 - Ana Lúcia: IMG-20261005-WA0012.jpg (arquivo anexado)\n"
ANDROID_NAME: Final = "Conversa do WhatsApp com Ana Lúcia.txt"
SAMPLES: Final = Path(__file__).resolve().parents[3] / "shared" / "chat-exports"


def zipped(
    files: Mapping[str, bytes | str],
    *,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return stream.getvalue()


def zipped_as(entry: zipfile.ZipInfo) -> bytes:
    """Make an archive of a chat and of one more entry, as odd as it comes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr(ANDROID_NAME, CHAT)
        made.writestr(entry, b"x")
    return stream.getvalue()


def refusal(data: bytes) -> str:
    with pytest.raises(archive.Refused) as caught:
        archive.open_export(data)
    return caught.value.reason


# --- a text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_is_read_in_each_encoding(encoding: str) -> None:
    export = archive.open_export(CHAT.encode(encoding))

    assert export == archive.Export(CHAT, [])


def test_a_text_in_utf_8_is_given_whatever_it_says() -> None:
    assert archive.open_export("Bom dia é tudo".encode()).text == "Bom dia é tudo"


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "Bom dia é tudo".encode("latin-1"),
        CHAT.encode("latin-1"),
        b"05/10/2026 14:33 - Ana: \x93oi\x94",
        (CHAT + "ação").encode()[:-1] + b"\xc3",
        CHAT.encode("utf-16-le"),
        CHAT.encode("utf-16")[:-1],
        f"{CHAT}\0".encode(),
        bytes(range(256)),
    ],
)
def test_what_is_neither_text_nor_zip_is_refused(data: bytes) -> None:
    assert refusal(data).startswith("the file is neither a zip nor a text")


def test_an_empty_file_is_refused() -> None:
    assert refusal(b"") == "the file is empty"


def test_a_file_above_the_limit_is_refused_before_it_is_looked_at() -> None:
    assert refusal(b"a" * (archive.INPUT_BYTES_MAX + 1)) == "the file is larger than 64 MiB"


# --- an archive


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", [ANDROID_NAME, "_chat.txt", "WhatsApp Chat - Ana/_chat.txt", "WHATSAPP.TXT"])
def test_the_text_of_an_archive_is_read_and_its_media_are_named(name: str, method: int) -> None:
    export = archive.open_export(
        zipped(
            {"IMG-20261005-WA0012.jpg": b"\xff\xd8", name: CHAT, "fotos/": b"", "fotos/Ação.pdf": b"%PDF"},
            method=method,
        )
    )

    assert export.text == CHAT
    assert export.media_names == ["IMG-20261005-WA0012.jpg", "Ação.pdf"]


def test_the_chat_of_an_iphone_has_a_name_and_other_texts_are_documents() -> None:
    export = archive.open_export(zipped({"00000012-nota.txt": CHAT, "_chat.txt": CHAT}))

    assert export.media_names == ["00000012-nota.txt"]


def test_of_several_texts_the_one_that_begins_as_a_chat_is_it() -> None:
    export = archive.open_export(
        zipped({"nota.txt": "Bom dia", "b.txt": "é".encode("utf-16"), ANDROID_NAME: CHAT.encode("utf-16")})
    )

    assert export == archive.Export(CHAT, ["nota.txt", "b.txt"])


@pytest.mark.parametrize(
    "files",
    [
        {"a.txt": CHAT, "b.txt": CHAT},
        {"a.txt": "Bom dia", "b.txt": "Boa tarde"},
        {"Ana/_chat.txt": CHAT, "Rui/_chat.txt": CHAT},
    ],
)
def test_several_texts_that_might_be_it_are_refused(files: Mapping[str, str]) -> None:
    assert refusal(zipped(files)) == "the zip has several .txt files, and not exactly one of them is a chat"


def test_what_macos_adds_does_not_count() -> None:
    export = archive.open_export(
        zipped(
            {
                "_chat.txt": CHAT,
                "__MACOSX/._chat.txt": b"\x00\x05",
                "__MACOSX/.__chat.txt": b"",
                ".DS_Store": b"",
            }
        )
    )

    assert export == archive.Export(CHAT, [])


def test_names_in_utf_8_are_known_though_the_archive_does_not_say_so() -> None:
    data = zipped({ANDROID_NAME: CHAT, "Ação.pdf": b""})
    said = struct.pack("<H", 0x800)

    export = archive.open_export(data.replace(said, b"\0\0"))

    assert export.media_names == ["Ação.pdf"]


@pytest.mark.parametrize(
    "files", [{}, {"foto.jpg": b"\xff\xd8"}, {"word/document.xml": b"<w/>"}, {"txt/": b""}]
)
def test_an_archive_without_a_text_is_refused(files: Mapping[str, bytes]) -> None:
    assert refusal(zipped(files)) == "the zip has no .txt file"


def test_an_archive_inside_the_archive_is_named_and_not_opened() -> None:
    inner = zipped({"_chat.txt": CHAT})

    assert refusal(zipped({"chat.zip": inner})) == "the zip has no .txt file"
    assert archive.open_export(zipped({"a.txt": CHAT, "chat.zip": inner})).media_names == ["chat.zip"]


@pytest.mark.parametrize(
    "name",
    ["../x.jpg", "a/../../x.jpg", "/etc/passwd", "\\\\host\\x", "a\\..\\..\\x", "C:\\x.jpg", "c:x.jpg", ".."],
)
def test_a_name_that_leads_out_of_the_archive_is_refused(name: str) -> None:
    assert refusal(zipped_as(zipfile.ZipInfo(name))) == "the zip has an entry whose name leads out of it"


def test_a_name_with_dots_inside_is_a_name() -> None:
    assert archive.open_export(zipped_as(zipfile.ZipInfo("a..b...jpg"))).media_names == ["a..b...jpg"]


def test_a_name_with_a_nul_is_refused() -> None:
    data = zipped_as(zipfile.ZipInfo("a?b.jpg")).replace(b"a?b.jpg", b"a\0b.jpg")

    assert refusal(data) == "the zip has an entry whose name is not a name"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(kind: int) -> None:
    entry = zipfile.ZipInfo("x.jpg")
    entry.external_attr = (kind | 0o777) << 16

    assert refusal(zipped_as(entry)) == "the zip has an entry that is a link or a device, not a file"


def test_an_encrypted_archive_is_refused() -> None:
    data = bytearray(zipped({"_chat.txt": CHAT}))
    data[data.index(b"PK\x01\x02") + 8] |= 1

    assert refusal(bytes(data)) == "the zip is encrypted"


def test_a_text_that_shrank_too_far_is_refused() -> None:
    assert refusal(zipped({"_chat.txt": CHAT + "\n" * 1_000_000})) == (
        "the zip's text is more than 200 times as large as its compressed form"
    )


def test_a_long_monotonous_chat_did_not_shrink_too_far() -> None:
    text = "".join(f"05/10/2026 14:{minute % 60:02} - Ana: ok\n" for minute in range(100_000))

    assert archive.open_export(zipped({"_chat.txt": text})).text == text


def test_media_may_shrink_as_far_as_they_like() -> None:
    assert archive.open_export(zipped({"_chat.txt": CHAT, "a.bmp": b"\0" * 1_000_000})).text == CHAT


def _claiming(data: bytes, size_bytes: int) -> bytes:
    """Have the directory of an archive of one entry claim another size for it."""
    changed = bytearray(data)
    struct.pack_into("<L", changed, data.index(b"PK\x01\x02") + 24, size_bytes)
    return bytes(changed)


def test_a_text_above_the_limit_is_refused_by_its_claim() -> None:
    data = _claiming(zipped({"_chat.txt": CHAT}), archive.TEXT_BYTES_MAX + 1)

    assert refusal(data) == "the zip's text is larger than 64 MiB"


def test_an_archive_that_lies_about_the_size_yields_no_more_than_it_claims() -> None:
    noise = random.Random(1).randbytes(1_000_000).hex()
    data = _claiming(zipped({"_chat.txt": CHAT + noise}), 1000)

    assert refusal(data) == "the zip is damaged or was cut short"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_cannot_be_held_to_a_limit_are_refused(method: int) -> None:
    reason = "the zip's text is compressed by a method other than deflate"

    assert refusal(zipped({"_chat.txt": CHAT}, method=method)) == reason
    assert refusal(zipped({"a.txt": CHAT, "b.txt": CHAT}, method=method)).startswith("the zip has several")


def test_an_archive_of_too_many_entries_is_refused() -> None:
    data = zipped(dict.fromkeys((f"{number}.jpg" for number in range(archive.ENTRIES_MAX + 1)), b""))

    assert refusal(data) == "the zip has more than 20,000 entries"


def test_an_archive_cut_anywhere_is_refused() -> None:
    data = zipped({"_chat.txt": CHAT, "a.jpg": b"\xff"})

    for length in range(4, len(data)):
        assert refusal(data[:length]) == "the zip is damaged or was cut short", length


def test_a_damaged_text_is_refused() -> None:
    data = bytearray(zipped({"_chat.txt": CHAT}, method=zipfile.ZIP_STORED))
    data[data.index(b"Ana")] ^= 1

    assert refusal(bytes(data)) == "the zip is damaged or was cut short"


def test_no_reason_repeats_what_the_file_says() -> None:
    for data in (
        zipped({"Ana.txt": "Ana", "Rui.txt": "Rui"}),
        zipped({"../Ana.txt": "Ana"}),
        b"\xff\xfeAna",
        b"Ana\0",
    ):
        assert "Ana" not in refusal(data)


# --- whatever comes


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"\xff\xfe", b"\xef\xbb\xbf"]),
)
def test_any_bytes_are_an_export_or_refused(data: bytes, beginning: bytes) -> None:
    try:
        export = archive.open_export(beginning + data)
    except archive.Refused:
        return

    assert "\0" not in export.text
    assert len(export.text) <= len(data) + len(beginning)


_WHOLE: Final = zipped({"a.jpg": b"\xff" * 50, "_chat.txt": CHAT * 3, "nota.txt": CHAT})


@given(st.lists(st.tuples(st.integers(0, len(_WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_an_archive_of_which_bytes_were_changed_is_an_export_or_refused(
    changes: list[tuple[int, int]],
) -> None:
    data = bytearray(_WHOLE)
    for place, byte in changes:
        data[place] = byte

    try:
        export = archive.open_export(bytes(data))
    except archive.Refused:
        return

    assert all("/" not in name and "\\" not in name for name in export.media_names)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff")))
def test_what_is_packed_comes_out(text: str) -> None:
    for data in (text.encode(), zipped({"_chat.txt": text})):
        if data:
            assert archive.open_export(data).text == text


def test_samples_of_other_projects_are_the_same_packed_or_not() -> None:
    for path in SAMPLES.glob("*/*.txt"):
        data = path.read_bytes()
        export = archive.open_export(zipped({path.name: data}))

        assert export == archive.open_export(data)
        assert parser.parse(export.text, zone=ZoneInfo("UTC")).lines
