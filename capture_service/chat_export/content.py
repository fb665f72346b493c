"""What a line of an exported chat says: words, a file, or what WhatsApp writes in place of a message."""

import re
import unicodedata
from typing import Final, Literal, NamedTuple, TypeAlias

from capture_service.chat_export import marks

Platform: TypeAlias = Literal["android", "ios"]
Kind: TypeAlias = Literal["text", "media", "deleted", "system", "empty"]
MediaKind: TypeAlias = Literal["image", "video", "audio", "sticker", "document", "contact", "gif"]

ENCRYPTION_NOTICES: Final = {
    "en": ("end-to-end encrypt",),
    "pt": ("de ponta a ponta", "encriptadas ponto a ponto", "encriptação ponto a ponto"),
    "es": ("de extremo a extremo",),
    "de": ("ende-zu-ende-verschlüssel",),
    "fr": ("de bout en bout",),
    "it": ("crittografati end-to-end", "crittografia end-to-end"),
}
# Everything below in lower case, without marks, angle brackets and final stop: see `_token`.
# Android does not say what it left out, and always writes <>.
_OMITTED_UNSAID: Final = frozenset(
    (
        "media omitted",
        "mídia oculta",
        "mídia omitida",
        "arquivo de mídia oculto",
        "ficheiro não revelado",
        "multimédia omitido",
        "multimedia omitido",
        "archivo omitido",
        "medien ausgeschlossen",
        "medien weggelassen",
        "médias omis",
        "fichier omis",
        "media omessi",
        "media omesso",
    )
)
_OMITTED: Final[dict[str, MediaKind]] = {
    **dict.fromkeys(
        (
            "image omitted",
            "imagem ocultada",
            "imagem omitida",
            "imagem não revelada",
            "imagen omitida",
            "bild weggelassen",
            "image absente",
            "immagine omessa",
        ),
        "image",
    ),
    **dict.fromkeys(
        (
            "video omitted",
            "video note omitted",
            "vídeo omitido",
            "vídeo ocultado",
            "vídeo não revelado",
            "video omitido",
            "video weggelassen",
            "videonachricht weggelassen",
            "vidéo absente",
            "video omesso",
        ),
        "video",
    ),
    **dict.fromkeys(
        (
            "audio omitted",
            "view once voice message omitted",
            "áudio ocultado",
            "áudio omitido",
            "ficheiro de áudio não revelado",
            "audio omitido",
            "audio weggelassen",
            "audio omis",
            "audio omesso",
        ),
        "audio",
    ),
    **dict.fromkeys(
        (
            "sticker omitted",
            "figurinha omitida",
            "sticker omitido",
            "sticker não revelado",
            "sticker weggelassen",
            "sticker omis",
            "sticker non incluso",
        ),
        "sticker",
    ),
    **dict.fromkeys(
        (
            "gif omitted",
            "gif omitido",
            "gif não revelada",
            "gif weggelassen",
            "gif retiré",
            "gif esclusa",
        ),
        "gif",
    ),
    **dict.fromkeys(
        (
            "document omitted",
            "documento omitido",
            "documento ocultado",
            "documento não revelado",
            "dokument weggelassen",
            "document manquant",
            "documento omesso",
        ),
        "document",
    ),
    **dict.fromkeys(
        (
            "contact card omitted",
            "cartão do contato omitido",
            "contacto não revelado",
            "tarjeta de contacto omitida",
            "kontaktkarte ausgelassen",
            "fiche contact manquante",
            "scheda contatto omessa",
        ),
        "contact",
    ),
}
_DELETED: Final = frozenset(
    (
        "this message was deleted",
        "you deleted this message",
        "you deleted this message as admin",
        "mensagem apagada",
        "esta mensagem foi apagada",
        "essa mensagem foi apagada",
        "você apagou esta mensagem",
        "você apagou essa mensagem",
        "apagou esta mensagem",
        "esta mensagem foi eliminada",
        "eliminou esta mensagem",
        "se eliminó este mensaje",
        "este mensaje fue eliminado",
        "eliminaste este mensaje",
        "diese nachricht wurde gelöscht",
        "du hast diese nachricht gelöscht",
        "ce message a été supprimé",
        "vous avez supprimé ce message",
        "questo messaggio è stato eliminato",
        "hai eliminato questo messaggio",
    )
)
_DELETED_BY_ADMIN: Final = re.compile(
    r"this message was deleted by (?:an )?admin\b.*"
    r"|un admin\., .+, eliminó este mensaje"
    r"|diese nachricht wurde von admin .+ gelöscht"
)
_EDITED: Final = frozenset(
    (
        "this message was edited",
        "mensagem editada",
        "esta mensagem foi editada",
        "se editó este mensaje",
        "mensaje editado",
        "diese nachricht wurde bearbeitet",
        "ce message a été modifié",
        "questo messaggio è stato modificato",
    )
)
# There was a message, and the phone that exported could not show it either.
_UNAVAILABLE: Final = frozenset(
    (
        "you received a view once message. for added privacy, you can only open it on your phone",
        "you sent a view once message. for added privacy, you can only open it on your phone",
        "waiting for this message. this may take a while",
        "this message can't be displayed here. please open whatsapp on your phone to view the message",
        "aguardando mensagem. essa ação pode levar alguns instantes",
        "no se puede mostrar este mensaje aquí. para verlo, abre whatsapp en tu teléfono",
        "in attesa del messaggio",
    )
)
_TOKEN_CHARS_MAX: Final = 160

# Longer than any file system allows a name to be, with the number of pages that may follow it.
_ATTACHMENT_CHARS_MAX: Final = 320
_ATTACHED_WORDS: Final = (
    "file attached|arquivo anexado|ficheiro anexado|archivo adjunto|datei angehängt|fichier joint"
    "|file allegato"
)
_TAG_WORDS: Final = "attached|anexado|anexo|adjunto|anhang|pièce jointe|allegato"
# "IMG-20261005-WA0012.jpg (arquivo anexado)", "Contrato.pdf • 3 páginas (arquivo anexado)", and of old
# iOS "00000012-PHOTO.jpg <attached>". WhatsApp's own file names are known in every language.
_ATTACHED: Final = re.compile(
    r"([^/\\<>\u2022]+?)(?: \u2022 [^/\\<>\u2022]+)? "
    rf"(?:\((?:{_ATTACHED_WORDS})\)|<(?:{_TAG_WORDS})>)"
    r"|((?:IMG|VID|AUD|PTT|STK|DOC)-\d{8}-WA\d{4,6}\.\w{2,5}) \([^()]{3,60}\)",
    re.IGNORECASE,
)
_ATTACHED_TAG: Final = re.compile(
    rf"<(?:(?:{_TAG_WORDS})\s?: ?([^<>\n/\\]+)|[^<>\n:]{{2,24}}: ?(\d{{8}}-[^<>\n/\\]+))>", re.IGNORECASE
)
# "contrato.pdf • 3 páginas": iOS writes what the sender's file is called where a caption would stand.
_TITLE: Final = re.compile(r"([^/\\<>\u2022\n]+\.\w{1,5})( \u2022 [^/\\<>\u2022\n]+)?")
# "Localização: https://…", "POLL:", which iOS marks as it does its notices.
_LABELLED: Final = re.compile(r"[^:\n]{3,32}:(?:\s?https?://|\s*(?:\n|$))")

_KINDS_BY_EXTENSION: Final[dict[str, MediaKind]] = {
    **dict.fromkeys(("jpg", "jpeg", "png", "heic", "heif", "bmp", "tif", "tiff"), "image"),
    **dict.fromkeys(("mp4", "mov", "3gp", "mkv", "avi", "webm", "m4v"), "video"),
    **dict.fromkeys(("opus", "ogg", "oga", "m4a", "mp3", "aac", "amr", "wav", "flac"), "audio"),
    "webp": "sticker",
    "gif": "gif",
    "vcf": "contact",
}
# A GIF is an .mp4 and a picture may be a .webp; iOS says in the name which it is, and Android, but for
# GIFs, too.
_KINDS_BY_NAME: Final[dict[str, MediaKind]] = {
    "img": "image",
    "photo": "image",
    "vid": "video",
    "video": "video",
    "aud": "audio",
    "ptt": "audio",
    "audio": "audio",
    "stk": "sticker",
    "sticker": "sticker",
    "gif": "gif",
    "doc": "document",
}
_NAMED_BY_WHATSAPP: Final = re.compile(r"(?:\d{8}-([a-z]+)-\d|([a-z]{3})-\d{8}-wa\d)")


class Content(NamedTuple):
    """See `parser.Line`, which has the same fields."""

    kind: Kind
    text: str
    media_name: str | None = None
    media_kind: MediaKind | None = None
    is_edited: bool = False
    title: str = ""
    written: str = ""


def notice(body: str) -> Content:
    """Read what nobody said."""
    return Content("system", marks.cleaned(body))


def is_encryption_notice(text: str) -> bool:
    lowered = text.casefold()
    return any(notice in lowered for notices in ENCRYPTION_NOTICES.values() for notice in notices)


def read(body: str, *, platform: Platform) -> Content:
    """Read what somebody said: all that stands behind the name, over all its lines."""
    written = marks.cleaned(body)
    text, is_edited = _without_edited(written)
    if not text:
        return Content("empty", "", is_edited=is_edited)
    found = (
        _attached(text, is_edited=is_edited)
        or _said_instead(text, platform=platform, is_edited=is_edited)
        or _own_words(body, text, platform=platform)
        or Content("text", text, is_edited=is_edited)
    )
    return found if found.text == written else found._replace(written=written)


def _said_instead(text: str, *, platform: Platform, is_edited: bool) -> Content | None:
    """Read what WhatsApp writes where it leaves something out."""
    first, _, caption = text.partition("\n")
    token = _token(first)
    if token in _OMITTED or (token in _OMITTED_UNSAID and first.startswith("<")):
        return Content("media", caption.strip(marks.EDGES), None, _OMITTED.get(token), is_edited)
    # iOS puts the caption first and its own words behind a mark: "contrato.pdf • 3 páginas documento omitido"
    said, _, own = text.rpartition(marks.LRM)
    if said and (kind := _OMITTED.get(_token(own))):
        said = said.replace(marks.LRM, "").strip(marks.EDGES)
        if kind == "document" and (title := _TITLE.fullmatch(said)):
            return Content("media", "", title[1], kind, is_edited, title=said)
        return Content("media", said, None, kind, is_edited)
    if caption:
        return None
    if token in _DELETED or _DELETED_BY_ADMIN.fullmatch(token):
        return Content("deleted", "")
    if token in _UNAVAILABLE or (platform == "android" and text == "null"):
        return Content("empty", "")
    return None


def _attached(text: str, *, is_edited: bool) -> Content | None:
    """Read a file's name: Android writes it on the first line, iOS in a tag before or behind the caption."""
    first, _, caption = text.partition("\n")
    if first.endswith((")", ">")) and len(first) <= _ATTACHMENT_CHARS_MAX:
        match = _ATTACHED.fullmatch(marks.removed(first))
        if match and "." in (name := match[1] or match[2]).strip("."):
            return Content("media", caption.strip(marks.EDGES), name, _media_kind(name), is_edited)
    tag = _ATTACHED_TAG.match(text) or _ATTACHED_TAG.fullmatch(text, max(0, text.rfind("<")))
    if tag is None:
        return None
    name = (tag[1] or tag[2]).strip(marks.EDGES)
    kind = _media_kind(name)
    caption = (text[: tag.start()] + text[tag.end() :]).replace(marks.LRM, "").strip(marks.EDGES)
    if kind == "document" and (title := _TITLE.fullmatch(caption)) and (title[2] or name.endswith(title[1])):
        return Content("media", "", name, kind, is_edited, title=caption)
    return Content("media", caption, name, kind, is_edited)


def _own_words(body: str, text: str, *, platform: Platform) -> Content | None:
    """Tell the notices of iOS, which it attributes to the group or the contact, by the mark before them."""
    if platform != "ios" or not body.lstrip().startswith(marks.LRM) or _LABELLED.match(text):
        return None
    return Content("system", text)


def _media_kind(name: str) -> MediaKind:
    lowered = name.casefold()
    own = _NAMED_BY_WHATSAPP.match(lowered)
    if own and (kind := _KINDS_BY_NAME.get(own[1] or own[2])):
        return kind
    return _KINDS_BY_EXTENSION.get(lowered.rpartition(".")[2], "document")


def _without_edited(text: str) -> tuple[str, bool]:
    if not text.endswith(">"):
        return text, False
    start = text.rfind("<", max(0, len(text) - _TOKEN_CHARS_MAX))
    if start < 0 or _token(text[start:]) not in _EDITED:
        return text, False
    return text[:start].strip(marks.EDGES), True


def _token(words: str) -> str:
    """Give the words as the tables above have them; "" for what is too long to be in one."""
    if len(words) > _TOKEN_CHARS_MAX:
        return ""
    return unicodedata.normalize("NFC", words.strip(marks.EDGES + "<>.").casefold())
