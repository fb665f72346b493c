"""What the REST API says, each answer by the name it has in the OpenAPI document.

What is not known is null; a part marked optional is absent where there is none. Times are RFC 3339, UTC.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

Moment: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Identifier: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
# JSON of Meta's, as it came.
Object: TypeAlias = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
Objects: TypeAlias = Annotated[Raw, Meta(extra_json_schema={"type": "array", "items": {"type": "object"}})]


def _wire(name: str) -> str:
    """Give the name a field has in JSON; `from` cannot be one in Python."""
    first, *others = {"sender": "from", "start": "from", "end": "to"}.get(name, name).split("_")
    return first + "".join(part.title() for part in others)


class Pagination(Struct, rename="camel"):
    """`cursor` is that of the next page, bound to the parameters it came with; null on the last one."""

    cursor: str | None
    has_more: bool
    total: int


class Party(Struct, rename="camel"):
    """A person, a group's participant or the business. `number` is null for people who hide theirs."""

    name: str | None
    number: str | None
    user_id: str | None


class Timeline(Struct, rename="camel"):
    """The earliest time of each delivery state."""

    sent_at: Moment | None
    delivered_at: Moment | None
    read_at: Moment | None
    played_at: Moment | None
    failed_at: Moment | None


class Reaction(Struct, rename=_wire):
    emoji: str
    timestamp: Moment | None
    sender: Party
    wamid: str


class Revision(Struct):
    """What a message said before it was edited."""

    body: str | None
    content: Object | None
    timestamp: Moment | None
    wamid: str


class Message(Struct, rename=_wire):
    """`context`, `content`, `errors` and `billing` are Meta's own; `context` has our links besides."""

    id: Identifier
    wamid: str
    type: str
    body: str | None
    media_url: str | None
    direction: Literal["INBOUND", "OUTBOUND"]
    timestamp: Moment
    status: Literal["pending", "sent", "failed", "delivered", "read", "played"]
    sender: Party
    timeline: Timeline
    lead_id: Identifier | None
    instance_id: Identifier
    batch_id: Identifier
    batch_received_at: Moment | None
    is_sync_initial: bool
    sync_source: Literal["webhook", "echo", "api", "history", "manual_sync", "batch_recover", "chat_export"]
    pattern: str | None
    pattern_rule: str | None
    reactions: list[Reaction]
    edited_at: Moment | None
    revoked_at: Moment | None
    revisions: list[Revision] | UnsetType = UNSET
    context: dict[str, Any] | UnsetType = UNSET
    content: Object | UnsetType = UNSET
    errors: Objects | UnsetType = UNSET
    billing: Object | UnsetType = UNSET


class PageOfMessages(Struct, rename="camel"):
    """The pagination of a page of messages. `total` is exact unless `totalIsMinimum`: of very frequent words
    no more than that many are counted. `previousCursor` is of a page around a message: it goes on from the
    beginning of this page, with the other order."""

    cursor: str | None
    has_more: bool
    total: int
    total_is_minimum: bool
    previous_cursor: str | None


class Metadata(Struct, rename="camel"):
    """Of the whole conversation, whatever the filters. What had come by `syncedUpTo` is in the answer."""

    first_message_at: Moment | None
    last_message_at: Moment | None
    total_messages: int
    synced_up_to: Moment | None


class Conversation(Struct):
    """A page of a lead's messages."""

    messages: list[Message]
    pagination: PageOfMessages
    metadata: Metadata


class Piece(Struct):
    text: str
    match: bool


class FoundLead(Struct):
    id: Identifier
    kind: Literal["person", "group"]
    name: str | None
    number: str | None


class Hit(Struct):
    """A message that was found, whose it is, and the text around what was found."""

    message: Message
    lead: FoundLead
    snippet: list[Piece]


class LeadConversation(Struct, rename="camel"):
    """A lead's exchange with one of the business's numbers."""

    id: Identifier
    instance_id: Identifier
    first_message_at: Moment | None
    last_message_at: Moment | None
    message_count: int


class LastMessage(Struct, rename="camel"):
    id: Identifier
    type: str
    body: str | None
    direction: Literal["INBOUND", "OUTBOUND"]
    timestamp: Moment
    status: str
    revoked_at: Moment | None


class Lead(Struct, rename="camel"):
    """A person or a group. `lastMessage` is only in lists."""

    id: Identifier
    kind: Literal["person", "group"]
    name: str | None
    number: str | None
    wa_id: str | None
    user_id: str | None
    username: str | None
    profile_pic_url: str | None
    verified: bool | None
    status: str | None
    first_message_at: Moment | None
    last_message_at: Moment | None
    message_count: int
    created_at: Moment | None
    conversations: list[LeadConversation]
    last_message: LastMessage | UnsetType | None = UNSET


class Leads(Struct):
    leads: list[Lead]
    pagination: Pagination


class SearchPagination(Struct, rename="camel"):
    """`total` is exact unless `totalIsMinimum`: of very frequent words no more than that many are counted."""

    cursor: str | None
    has_more: bool
    total: int
    total_is_minimum: bool


class Found(Struct):
    """Messages newest first; `leads`, on the first page, are people whose name or number was found."""

    messages: list[Hit]
    leads: list[Lead]
    pagination: SearchPagination


class Interval(Struct, rename=_wire):
    start: Moment | None
    end: Moment | None
    route: Literal["live", "history", "chat_export"]


class Gap(Struct, rename=_wire):
    """Times of which it is not known that everything is there. A null end is the beginning, or now."""

    start: Moment | None
    end: Moment | None
    reason: Literal["before_connection", "history_declined", "history_incomplete", "disconnected"]
    detail: str | None


class Statement(Struct, rename={"pt": "pt-BR"}):
    """The same for a person to read."""

    en: str
    pt: str


class ConversationCoverage(Struct, rename="camel"):
    instance_id: Identifier
    instance_name: str | None
    display_phone_number: str | None
    intervals: list[Interval]
    gaps: list[Gap]
    statement: Statement


class Coverage(Struct, rename="camel"):
    lead_id: Identifier
    conversations: list[ConversationCoverage]


class Sync(Struct, rename="camel"):
    """A recovery and how far it has come. `syncId` is empty for a dry run, which changes nothing."""

    sync_id: str
    lead_id: Identifier | None
    sync_type: Literal["initial_contact", "manual_recovery", "batch", "history_import", "chat_export"]
    status: Literal["pending", "in_progress", "completed", "failed"]
    step: str | None
    percent: Annotated[int, Meta(ge=0, le=100)]
    messages_imported: int
    error_message: str | None
    created_at: Moment | None
    started_at: Moment | None
    completed_at: Moment | None
    instance_id: Identifier | None
    detail: Object | None


class Syncs(Struct):
    syncs: list[Sync]
    pagination: Pagination


class Ticket(Struct, rename="camel"):
    """A concern of a lead, from a first message until somebody closes it."""

    id: Identifier
    lead_id: Identifier
    opened_at: Moment | None
    closed_at: Moment | None


class Tickets(Struct):
    tickets: list[Ticket]
    pagination: Pagination


class Merge(Struct, rename="camel"):
    """`syncId`, in the answer to an undo, is the recovery that divides what came while both were one."""

    id: Identifier
    lead_id: Identifier
    merged_lead_id: Identifier
    message_count: int
    merged_at: Moment | None
    undone_at: Moment | None
    sync_id: Identifier | None


class Merges(Struct):
    merges: list[Merge]
    pagination: Pagination


class Connection(Struct, rename="camel"):
    state: Literal["connected", "disconnected", "offboarded", "disabled", "deleted"]
    reason: str | None
    changed_at: Moment | None


class Instance(Struct, rename="camel"):
    """A connected number of the business."""

    id: Identifier
    waba_id: str
    phone_number_id: str
    display_phone_number: str
    name: str | None
    webhook_activated_at: Moment | None
    last_sync_at: Moment | None
    sync_status: str
    sync_error: str | None
    connection: Connection
    history: Sync | None


class Instances(Struct):
    instances: list[Instance]
    pagination: Pagination


class AccountEvent(Struct, rename="camel"):
    id: Identifier
    field: str | None
    event: str | None
    happened_at: Moment | None
    value: Object | None
    instance_id: Identifier | None
    account_id: str
    batch_id: Identifier


class AccountEvents(Struct):
    events: list[AccountEvent]
    pagination: Pagination


class Fault(Struct):
    path: str
    reason: str


class BatchItem(Struct, rename="camel"):
    path: str
    kind: str
    outcome: Literal["applied", "merged", "duplicate", "pending"]
    message_id: Identifier | None
    wamid: str | None
    type: str | None


class BatchCounts(Struct):
    applied: int
    merged: int
    duplicate: int
    pending: int


class Batch(Struct, rename="camel"):
    """What one webhook did."""

    batch_id: Identifier
    received_at: Moment | None
    state: Literal["processed", "unrouted", "failed", "ignored", "pending"]
    attempts: int
    body_bytes: int
    parser_version: int
    counts: BatchCounts
    items: list[BatchItem]
    faults: list[Fault]


class Failure(Struct, rename="camel"):
    batch_id: Identifier
    received_at: Moment | None
    attempts: int
    body_bytes: int
    faults: list[Fault]


class Failures(Struct):
    failures: list[Failure]
    pagination: Pagination


class Replayed(Struct, rename="camel"):
    webhooks_replayed: int
    webhooks_failed: int
    messages_imported: int


class Export(Struct, rename="camel"):
    """The histories of many leads as one zip, and how far it has come."""

    export_id: Identifier
    status: Literal["pending", "in_progress", "completed", "failed"]
    percent: Annotated[int, Meta(ge=0, le=100)]
    leads_done: int
    leads_total: int
    file_bytes: int | None
    error_message: str | None
    created_at: Moment | None
    started_at: Moment | None
    completed_at: Moment | None


class AuditEntry(Struct, rename="camel"):
    id: Identifier
    happened_at: Moment | None
    subject: str
    action: str
    lead_id: Identifier | None
    count: int
    request_id: str


class AuditPagination(Struct, rename="camel"):
    cursor: str | None
    has_more: bool


class Audit(Struct):
    entries: list[AuditEntry]
    pagination: AuditPagination


class Session(Struct, rename="camel"):
    """Whom the cookie of the inbox speaks for."""

    subject: str
    tenant: str
    scopes: list[str]
    expires_at: Moment


class FieldError(Struct):
    field: str
    detail: str


class Problem(Struct, rename="camel"):
    """What went wrong (RFC 9457). `code` is for programs, `errors` names each field that is wrong."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] | UnsetType = UNSET
