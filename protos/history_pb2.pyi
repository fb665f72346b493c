import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Order(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_UNSPECIFIED: _ClassVar[Order]
    ORDER_ASC: _ClassVar[Order]
    ORDER_DESC: _ClassVar[Order]

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIRECTION_UNSPECIFIED: _ClassVar[Direction]
    INBOUND: _ClassVar[Direction]
    OUTBOUND: _ClassVar[Direction]
ORDER_UNSPECIFIED: Order
ORDER_ASC: Order
ORDER_DESC: Order
DIRECTION_UNSPECIFIED: Direction
INBOUND: Direction
OUTBOUND: Direction

class ListMessagesRequest(_message.Message):
    __slots__ = ("lead_id", "page_size", "page_token", "order", "from_time", "to_time", "filter", "around_message_id")
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    TO_TIME_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AROUND_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    page_size: int
    page_token: str
    order: Order
    from_time: _timestamp_pb2.Timestamp
    to_time: _timestamp_pb2.Timestamp
    filter: MessageFilter
    around_message_id: str
    def __init__(self, lead_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., order: _Optional[_Union[Order, str]] = ..., from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., to_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., filter: _Optional[_Union[MessageFilter, _Mapping]] = ..., around_message_id: _Optional[str] = ...) -> None: ...

class MessageFilter(_message.Message):
    __slots__ = ("direction", "type", "status", "instance_id", "query")
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    direction: Direction
    type: str
    status: str
    instance_id: str
    query: str
    def __init__(self, direction: _Optional[_Union[Direction, str]] = ..., type: _Optional[str] = ..., status: _Optional[str] = ..., instance_id: _Optional[str] = ..., query: _Optional[str] = ...) -> None: ...

class ListMessagesResponse(_message.Message):
    __slots__ = ("messages", "next_page_token", "previous_page_token", "total_size", "is_total_a_minimum", "summary")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    IS_TOTAL_A_MINIMUM_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    next_page_token: str
    previous_page_token: str
    total_size: int
    is_total_a_minimum: bool
    summary: ConversationSummary
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., previous_page_token: _Optional[str] = ..., total_size: _Optional[int] = ..., is_total_a_minimum: _Optional[bool] = ..., summary: _Optional[_Union[ConversationSummary, _Mapping]] = ...) -> None: ...

class ConversationSummary(_message.Message):
    __slots__ = ("first_message_at", "last_message_at", "total_messages", "synced_up_to")
    FIRST_MESSAGE_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_MESSAGE_AT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SYNCED_UP_TO_FIELD_NUMBER: _ClassVar[int]
    first_message_at: _timestamp_pb2.Timestamp
    last_message_at: _timestamp_pb2.Timestamp
    total_messages: int
    synced_up_to: _timestamp_pb2.Timestamp
    def __init__(self, first_message_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_message_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., total_messages: _Optional[int] = ..., synced_up_to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("id", "wamid", "type", "body", "direction", "sent_at", "status", "sender", "content_json", "context_json", "reply_to_id", "reply_to_wamid", "errors_json", "billing_json", "timeline", "instance_id", "batch_id", "batch_received_at", "is_sync_initial", "sync_source", "pattern", "media_url", "reactions", "edited_at", "revisions", "revoked_at", "pattern_rule", "lead_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    WAMID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    CONTENT_JSON_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_JSON_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_ID_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_WAMID_FIELD_NUMBER: _ClassVar[int]
    ERRORS_JSON_FIELD_NUMBER: _ClassVar[int]
    BILLING_JSON_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    IS_SYNC_INITIAL_FIELD_NUMBER: _ClassVar[int]
    SYNC_SOURCE_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    MEDIA_URL_FIELD_NUMBER: _ClassVar[int]
    REACTIONS_FIELD_NUMBER: _ClassVar[int]
    EDITED_AT_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_FIELD_NUMBER: _ClassVar[int]
    PATTERN_RULE_FIELD_NUMBER: _ClassVar[int]
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    wamid: str
    type: str
    body: str
    direction: Direction
    sent_at: _timestamp_pb2.Timestamp
    status: str
    sender: Party
    content_json: str
    context_json: str
    reply_to_id: str
    reply_to_wamid: str
    errors_json: str
    billing_json: str
    timeline: Timeline
    instance_id: str
    batch_id: str
    batch_received_at: _timestamp_pb2.Timestamp
    is_sync_initial: bool
    sync_source: str
    pattern: str
    media_url: str
    reactions: _containers.RepeatedCompositeFieldContainer[Reaction]
    edited_at: _timestamp_pb2.Timestamp
    revisions: _containers.RepeatedCompositeFieldContainer[Revision]
    revoked_at: _timestamp_pb2.Timestamp
    pattern_rule: str
    lead_id: str
    def __init__(self, id: _Optional[str] = ..., wamid: _Optional[str] = ..., type: _Optional[str] = ..., body: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., status: _Optional[str] = ..., sender: _Optional[_Union[Party, _Mapping]] = ..., content_json: _Optional[str] = ..., context_json: _Optional[str] = ..., reply_to_id: _Optional[str] = ..., reply_to_wamid: _Optional[str] = ..., errors_json: _Optional[str] = ..., billing_json: _Optional[str] = ..., timeline: _Optional[_Union[Timeline, _Mapping]] = ..., instance_id: _Optional[str] = ..., batch_id: _Optional[str] = ..., batch_received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_sync_initial: _Optional[bool] = ..., sync_source: _Optional[str] = ..., pattern: _Optional[str] = ..., media_url: _Optional[str] = ..., reactions: _Optional[_Iterable[_Union[Reaction, _Mapping]]] = ..., edited_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revisions: _Optional[_Iterable[_Union[Revision, _Mapping]]] = ..., revoked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., pattern_rule: _Optional[str] = ..., lead_id: _Optional[str] = ...) -> None: ...

class Reaction(_message.Message):
    __slots__ = ("emoji", "reacted_at", "sender", "wamid")
    EMOJI_FIELD_NUMBER: _ClassVar[int]
    REACTED_AT_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    WAMID_FIELD_NUMBER: _ClassVar[int]
    emoji: str
    reacted_at: _timestamp_pb2.Timestamp
    sender: Party
    wamid: str
    def __init__(self, emoji: _Optional[str] = ..., reacted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sender: _Optional[_Union[Party, _Mapping]] = ..., wamid: _Optional[str] = ...) -> None: ...

class Revision(_message.Message):
    __slots__ = ("body", "content_json", "said_at", "wamid")
    BODY_FIELD_NUMBER: _ClassVar[int]
    CONTENT_JSON_FIELD_NUMBER: _ClassVar[int]
    SAID_AT_FIELD_NUMBER: _ClassVar[int]
    WAMID_FIELD_NUMBER: _ClassVar[int]
    body: str
    content_json: str
    said_at: _timestamp_pb2.Timestamp
    wamid: str
    def __init__(self, body: _Optional[str] = ..., content_json: _Optional[str] = ..., said_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., wamid: _Optional[str] = ...) -> None: ...

class Timeline(_message.Message):
    __slots__ = ("sent_at", "delivered_at", "read_at", "played_at", "failed_at")
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_AT_FIELD_NUMBER: _ClassVar[int]
    READ_AT_FIELD_NUMBER: _ClassVar[int]
    PLAYED_AT_FIELD_NUMBER: _ClassVar[int]
    FAILED_AT_FIELD_NUMBER: _ClassVar[int]
    sent_at: _timestamp_pb2.Timestamp
    delivered_at: _timestamp_pb2.Timestamp
    read_at: _timestamp_pb2.Timestamp
    played_at: _timestamp_pb2.Timestamp
    failed_at: _timestamp_pb2.Timestamp
    def __init__(self, sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delivered_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., read_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., played_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Party(_message.Message):
    __slots__ = ("name", "number", "user_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: str
    user_id: str
    def __init__(self, name: _Optional[str] = ..., number: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class ListLeadsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "query")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    query: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., query: _Optional[str] = ...) -> None: ...

class ListLeadsResponse(_message.Message):
    __slots__ = ("leads", "next_page_token", "total_size")
    LEADS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    leads: _containers.RepeatedCompositeFieldContainer[Lead]
    next_page_token: str
    total_size: int
    def __init__(self, leads: _Optional[_Iterable[_Union[Lead, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class GetLeadRequest(_message.Message):
    __slots__ = ("lead_id",)
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    def __init__(self, lead_id: _Optional[str] = ...) -> None: ...

class Lead(_message.Message):
    __slots__ = ("id", "kind", "name", "number", "wa_id", "user_id", "username", "profile_picture_url", "first_message_at", "last_message_at", "message_count", "created_at", "conversations", "status", "is_verified", "last_message")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    WA_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PROFILE_PICTURE_URL_FIELD_NUMBER: _ClassVar[int]
    FIRST_MESSAGE_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_MESSAGE_AT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    IS_VERIFIED_FIELD_NUMBER: _ClassVar[int]
    LAST_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    name: str
    number: str
    wa_id: str
    user_id: str
    username: str
    profile_picture_url: str
    first_message_at: _timestamp_pb2.Timestamp
    last_message_at: _timestamp_pb2.Timestamp
    message_count: int
    created_at: _timestamp_pb2.Timestamp
    conversations: _containers.RepeatedCompositeFieldContainer[Conversation]
    status: str
    is_verified: bool
    last_message: Message
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ..., number: _Optional[str] = ..., wa_id: _Optional[str] = ..., user_id: _Optional[str] = ..., username: _Optional[str] = ..., profile_picture_url: _Optional[str] = ..., first_message_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_message_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message_count: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., conversations: _Optional[_Iterable[_Union[Conversation, _Mapping]]] = ..., status: _Optional[str] = ..., is_verified: _Optional[bool] = ..., last_message: _Optional[_Union[Message, _Mapping]] = ...) -> None: ...

class Conversation(_message.Message):
    __slots__ = ("id", "instance_id", "first_message_at", "last_message_at", "message_count")
    ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_MESSAGE_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_MESSAGE_AT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    id: str
    instance_id: str
    first_message_at: _timestamp_pb2.Timestamp
    last_message_at: _timestamp_pb2.Timestamp
    message_count: int
    def __init__(self, id: _Optional[str] = ..., instance_id: _Optional[str] = ..., first_message_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_message_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message_count: _Optional[int] = ...) -> None: ...

class SearchMessagesRequest(_message.Message):
    __slots__ = ("query", "filter", "lead_id", "from_time", "to_time", "page_size", "page_token")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    TO_TIME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    query: str
    filter: MessageFilter
    lead_id: str
    from_time: _timestamp_pb2.Timestamp
    to_time: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    def __init__(self, query: _Optional[str] = ..., filter: _Optional[_Union[MessageFilter, _Mapping]] = ..., lead_id: _Optional[str] = ..., from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., to_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class SearchMessagesResponse(_message.Message):
    __slots__ = ("hits", "next_page_token", "total_size", "is_total_a_minimum", "leads")
    HITS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    IS_TOTAL_A_MINIMUM_FIELD_NUMBER: _ClassVar[int]
    LEADS_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    next_page_token: str
    total_size: int
    is_total_a_minimum: bool
    leads: _containers.RepeatedCompositeFieldContainer[Lead]
    def __init__(self, hits: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ..., is_total_a_minimum: _Optional[bool] = ..., leads: _Optional[_Iterable[_Union[Lead, _Mapping]]] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("message", "lead", "snippet")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LEAD_FIELD_NUMBER: _ClassVar[int]
    SNIPPET_FIELD_NUMBER: _ClassVar[int]
    message: Message
    lead: Lead
    snippet: _containers.RepeatedCompositeFieldContainer[Piece]
    def __init__(self, message: _Optional[_Union[Message, _Mapping]] = ..., lead: _Optional[_Union[Lead, _Mapping]] = ..., snippet: _Optional[_Iterable[_Union[Piece, _Mapping]]] = ...) -> None: ...

class Piece(_message.Message):
    __slots__ = ("text", "is_match")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    IS_MATCH_FIELD_NUMBER: _ClassVar[int]
    text: str
    is_match: bool
    def __init__(self, text: _Optional[str] = ..., is_match: _Optional[bool] = ...) -> None: ...

class ExportMessagesRequest(_message.Message):
    __slots__ = ("lead_id", "from_time", "to_time", "filter")
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    TO_TIME_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    from_time: _timestamp_pb2.Timestamp
    to_time: _timestamp_pb2.Timestamp
    filter: MessageFilter
    def __init__(self, lead_id: _Optional[str] = ..., from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., to_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., filter: _Optional[_Union[MessageFilter, _Mapping]] = ...) -> None: ...

class ExportMessagesResponse(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ...) -> None: ...

class ListChangesRequest(_message.Message):
    __slots__ = ("lead_id", "resume_token", "watchers", "until_token")
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WATCHERS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_TOKEN_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    resume_token: str
    watchers: _containers.RepeatedCompositeFieldContainer[Watcher]
    until_token: str
    def __init__(self, lead_id: _Optional[str] = ..., resume_token: _Optional[str] = ..., watchers: _Optional[_Iterable[_Union[Watcher, _Mapping]]] = ..., until_token: _Optional[str] = ...) -> None: ...

class Watcher(_message.Message):
    __slots__ = ("subject", "lead_id", "request_id")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    subject: str
    lead_id: str
    request_id: str
    def __init__(self, subject: _Optional[str] = ..., lead_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ListChangesResponse(_message.Message):
    __slots__ = ("messages", "lead_ids", "resume_token", "must_reload", "lead_id")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    LEAD_IDS_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MUST_RELOAD_FIELD_NUMBER: _ClassVar[int]
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    lead_ids: _containers.RepeatedScalarFieldContainer[str]
    resume_token: str
    must_reload: bool
    lead_id: str
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., lead_ids: _Optional[_Iterable[str]] = ..., resume_token: _Optional[str] = ..., must_reload: _Optional[bool] = ..., lead_id: _Optional[str] = ...) -> None: ...

class WatchLeadsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchLeadsResponse(_message.Message):
    __slots__ = ("touches", "may_have_missed")
    class Touch(_message.Message):
        __slots__ = ("tenant", "lead_id")
        TENANT_FIELD_NUMBER: _ClassVar[int]
        LEAD_ID_FIELD_NUMBER: _ClassVar[int]
        tenant: str
        lead_id: str
        def __init__(self, tenant: _Optional[str] = ..., lead_id: _Optional[str] = ...) -> None: ...
    TOUCHES_FIELD_NUMBER: _ClassVar[int]
    MAY_HAVE_MISSED_FIELD_NUMBER: _ClassVar[int]
    touches: _containers.RepeatedCompositeFieldContainer[WatchLeadsResponse.Touch]
    may_have_missed: bool
    def __init__(self, touches: _Optional[_Iterable[_Union[WatchLeadsResponse.Touch, _Mapping]]] = ..., may_have_missed: _Optional[bool] = ...) -> None: ...

class GetCoverageRequest(_message.Message):
    __slots__ = ("lead_id",)
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    def __init__(self, lead_id: _Optional[str] = ...) -> None: ...

class Coverage(_message.Message):
    __slots__ = ("conversations",)
    CONVERSATIONS_FIELD_NUMBER: _ClassVar[int]
    conversations: _containers.RepeatedCompositeFieldContainer[ConversationCoverage]
    def __init__(self, conversations: _Optional[_Iterable[_Union[ConversationCoverage, _Mapping]]] = ...) -> None: ...

class ConversationCoverage(_message.Message):
    __slots__ = ("instance_id", "instance_name", "display_phone_number", "intervals", "gaps")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_PHONE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    INTERVALS_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    instance_name: str
    display_phone_number: str
    intervals: _containers.RepeatedCompositeFieldContainer[Interval]
    gaps: _containers.RepeatedCompositeFieldContainer[Gap]
    def __init__(self, instance_id: _Optional[str] = ..., instance_name: _Optional[str] = ..., display_phone_number: _Optional[str] = ..., intervals: _Optional[_Iterable[_Union[Interval, _Mapping]]] = ..., gaps: _Optional[_Iterable[_Union[Gap, _Mapping]]] = ...) -> None: ...

class Interval(_message.Message):
    __slots__ = ("from_time", "to_time", "route")
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    TO_TIME_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    from_time: _timestamp_pb2.Timestamp
    to_time: _timestamp_pb2.Timestamp
    route: str
    def __init__(self, from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., to_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., route: _Optional[str] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("from_time", "to_time", "reason", "detail")
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    TO_TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    from_time: _timestamp_pb2.Timestamp
    to_time: _timestamp_pb2.Timestamp
    reason: str
    detail: str
    def __init__(self, from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., to_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "lead_id", "subject")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    lead_id: str
    subject: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., lead_id: _Optional[str] = ..., subject: _Optional[str] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("id", "happened_at", "subject", "action", "lead_id", "count", "request_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    HAPPENED_AT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    happened_at: _timestamp_pb2.Timestamp
    subject: str
    action: str
    lead_id: str
    count: int
    request_id: str
    def __init__(self, id: _Optional[str] = ..., happened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., subject: _Optional[str] = ..., action: _Optional[str] = ..., lead_id: _Optional[str] = ..., count: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...
