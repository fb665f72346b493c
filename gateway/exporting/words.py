"""What exports say in their own words, in the languages that they know."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final, NamedTuple

from gateway.exporting.document import Language


class Words(NamedTuple):
    # WhatsApp's own, to the letter: other programs look for them.
    attached: str
    omitted: str
    deleted: str
    deleted_own: str
    edited_mark: str
    unavailable: str

    # Of a page and of a table.
    conversation: str
    number: str
    period: str
    period_ends: str
    exported: str
    zone: str
    coverage: str
    messages: str
    message: str
    you: str
    unknown: str
    open: str
    reply: str
    reply_elsewhere: str
    forwarded: str
    edited: str
    before_edit: str
    was_deleted: str
    no_content: str
    other_system: str
    failed: str
    reactions: str
    media: Mapping[str, str]
    voice: str
    states: Mapping[str, str]
    sources: Mapping[str, str]
    patterns: Mapping[str, str]
    months: tuple[str, ...]
    weekdays: tuple[str, ...]
    """From Monday."""
    columns: Mapping[str, str]


_PT: Final = Words(
    attached="(arquivo anexado)",
    omitted="<Mídia oculta>",
    deleted="Mensagem apagada",
    deleted_own="Você apagou esta mensagem",
    edited_mark="<Mensagem editada>",
    unavailable="Aguardando mensagem. Essa ação pode levar alguns instantes.",
    conversation="Conversa com",
    number="Número",
    period="Período",
    period_ends="{first} a {last}",
    exported="Exportada em",
    zone="Horários de",
    coverage="O que esta conversa cobre",
    messages="mensagens",
    message="mensagem",
    you="Você",
    unknown="Desconhecido",
    open="Abrir",
    reply="Resposta a uma mensagem anterior",
    reply_elsewhere="Resposta a uma mensagem que não está aqui",
    forwarded="Encaminhada",
    edited="Editada em {when}",
    before_edit="Antes da edição",
    was_deleted="Mensagem apagada em {when}",
    no_content="O conteúdo desta mensagem não está disponível",
    other_system="Enviada por outro sistema: o conteúdo não está disponível",
    failed="Não entregue",
    reactions="Reações",
    media={
        "image": "Foto",
        "video": "Vídeo",
        "audio": "Áudio",
        "document": "Documento",
        "sticker": "Figurinha",
        "media_placeholder": "Mídia",
    },
    voice="Mensagem de voz",
    states={
        "pending": "pendente",
        "sent": "enviada",
        "delivered": "entregue",
        "read": "lida",
        "played": "reproduzida",
        "failed": "não entregue",
    },
    sources={"history": "histórico importado", "chat_export": "conversa importada"},
    patterns={"auto_reply": "resposta automática", "bot": "robô"},
    months=(
        "janeiro", "fevereiro", "março", "abril", "maio", "junho",
        "julho", "agosto", "setembro", "outubro", "novembro", "dezembro",
    ),
    weekdays=(
        "segunda-feira", "terça-feira", "quarta-feira", "quinta-feira", "sexta-feira", "sábado", "domingo",
    ),
    columns={
        "timestamp": "Instante (UTC)",
        "date": "Data",
        "time": "Hora",
        "direction": "Direção",
        "from_name": "Nome",
        "from_number": "Número",
        "type": "Tipo",
        "body": "Texto",
        "status": "Situação",
        "media_kind": "Mídia",
        "file_name": "Arquivo",
        "media_url": "Endereço da mídia",
        "reply_to": "Resposta a",
        "reactions": "Reações",
        "edited_at": "Editada em",
        "revoked_at": "Apagada em",
        "error": "Erro",
        "source": "Origem",
        "id": "Id",
        "wamid": "Wamid",
        "instance_id": "Instância",
    },
)  # fmt: skip

_EN: Final = Words(
    attached="(file attached)",
    omitted="<Media omitted>",
    deleted="This message was deleted",
    deleted_own="You deleted this message",
    edited_mark="<This message was edited>",
    unavailable="Waiting for this message. This may take a while.",
    conversation="Conversation with",
    number="Number",
    period="Period",
    period_ends="{first} to {last}",
    exported="Exported on",
    zone="Times of",
    coverage="What this conversation covers",
    messages="messages",
    message="message",
    you="You",
    unknown="Unknown",
    open="Open",
    reply="Reply to an earlier message",
    reply_elsewhere="Reply to a message that is not here",
    forwarded="Forwarded",
    edited="Edited on {when}",
    before_edit="Before the edit",
    was_deleted="Message deleted on {when}",
    no_content="The content of this message is not available",
    other_system="Sent from another system: its content is not available",
    failed="Not delivered",
    reactions="Reactions",
    media={
        "image": "Photo",
        "video": "Video",
        "audio": "Audio",
        "document": "Document",
        "sticker": "Sticker",
        "media_placeholder": "Media",
    },
    voice="Voice message",
    states={
        "pending": "pending",
        "sent": "sent",
        "delivered": "delivered",
        "read": "read",
        "played": "played",
        "failed": "not delivered",
    },
    sources={"history": "imported history", "chat_export": "imported chat"},
    patterns={"auto_reply": "automatic reply", "bot": "bot"},
    months=(
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ),
    weekdays=("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    columns={
        "timestamp": "Timestamp (UTC)",
        "date": "Date",
        "time": "Time",
        "direction": "Direction",
        "from_name": "From name",
        "from_number": "From number",
        "type": "Type",
        "body": "Body",
        "status": "Status",
        "media_kind": "Media",
        "file_name": "File name",
        "media_url": "Media address",
        "reply_to": "Reply to",
        "reactions": "Reactions",
        "edited_at": "Edited at",
        "revoked_at": "Revoked at",
        "error": "Error",
        "source": "Source",
        "id": "Id",
        "wamid": "Wamid",
        "instance_id": "Instance id",
    },
)  # fmt: skip

WORDS: Final[Mapping[Language, Words]] = {"pt-BR": _PT, "en": _EN}


def day(moment: date, language: Language) -> str:
    """Write a date in full. `strftime` would follow the locale of the process."""
    words = WORDS[language]
    weekday, month = words.weekdays[moment.weekday()], words.months[moment.month - 1]
    if language == "en":
        return f"{weekday}, {month} {moment.day}, {moment.year}"
    return f"{weekday}, {moment.day} de {month} de {moment.year}"


def clock(moment: datetime, language: Language) -> str:
    if language == "en":
        return f"{moment.hour % 12 or 12}:{moment.minute:02} {'AM' if moment.hour < 12 else 'PM'}"
    return f"{moment.hour:02}:{moment.minute:02}"


def short(moment: datetime, language: Language) -> str:
    """Write a date and a time briefly, the year whole."""
    if language == "en":
        return f"{moment.month}/{moment.day}/{moment.year}, {clock(moment, language)}"
    return f"{moment.day:02}/{moment.month:02}/{moment.year:04} {clock(moment, language)}"
