import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LedgerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEDGER_STATE_UNSPECIFIED: _ClassVar[LedgerState]
    LEDGER_STATE_PROCESSED: _ClassVar[LedgerState]
    LEDGER_STATE_UNROUTED: _ClassVar[LedgerState]
    LEDGER_STATE_FAILED: _ClassVar[LedgerState]
    LEDGER_STATE_IGNORED: _ClassVar[LedgerState]
    LEDGER_STATE_PENDING: _ClassVar[LedgerState]
LEDGER_STATE_UNSPECIFIED: LedgerState
LEDGER_STATE_PROCESSED: LedgerState
LEDGER_STATE_UNROUTED: LedgerState
LEDGER_STATE_FAILED: LedgerState
LEDGER_STATE_IGNORED: LedgerState
LEDGER_STATE_PENDING: LedgerState

class IngestWebhooksRequest(_message.Message):
    __slots__ = ("webhooks",)
    WEBHOOKS_FIELD_NUMBER: _ClassVar[int]
    webhooks: _containers.RepeatedCompositeFieldContainer[Webhook]
    def __init__(self, webhooks: _Optional[_Iterable[_Union[Webhook, _Mapping]]] = ...) -> None: ...

class Webhook(_message.Message):
    __slots__ = ("body", "received_at")
    BODY_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    received_at: _timestamp_pb2.Timestamp
    def __init__(self, body: _Optional[bytes] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class IngestWebhooksResponse(_message.Message):
    __slots__ = ("verdicts",)
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    verdicts: _containers.RepeatedCompositeFieldContainer[Verdict]
    def __init__(self, verdicts: _Optional[_Iterable[_Union[Verdict, _Mapping]]] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("batch_id", "state")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    state: LedgerState
    def __init__(self, batch_id: _Optional[str] = ..., state: _Optional[_Union[LedgerState, str]] = ...) -> None: ...

class CreateInstanceRequest(_message.Message):
    __slots__ = ("waba_id", "phone_number_id", "display_phone_number", "name")
    WABA_ID_FIELD_NUMBER: _ClassVar[int]
    PHONE_NUMBER_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_PHONE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    waba_id: str
    phone_number_id: str
    display_phone_number: str
    name: str
    def __init__(self, waba_id: _Optional[str] = ..., phone_number_id: _Optional[str] = ..., display_phone_number: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Instance(_message.Message):
    __slots__ = ("id", "waba_id", "phone_number_id", "display_phone_number", "name", "webhook_activated_at", "last_sync_at", "sync_status", "sync_error", "connection_state", "connection_reason", "connection_changed_at", "history")
    ID_FIELD_NUMBER: _ClassVar[int]
    WABA_ID_FIELD_NUMBER: _ClassVar[int]
    PHONE_NUMBER_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_PHONE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_ACTIVATED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_SYNC_AT_FIELD_NUMBER: _ClassVar[int]
    SYNC_STATUS_FIELD_NUMBER: _ClassVar[int]
    SYNC_ERROR_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_STATE_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_REASON_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    id: str
    waba_id: str
    phone_number_id: str
    display_phone_number: str
    name: str
    webhook_activated_at: _timestamp_pb2.Timestamp
    last_sync_at: _timestamp_pb2.Timestamp
    sync_status: str
    sync_error: str
    connection_state: str
    connection_reason: str
    connection_changed_at: _timestamp_pb2.Timestamp
    history: SyncLog
    def __init__(self, id: _Optional[str] = ..., waba_id: _Optional[str] = ..., phone_number_id: _Optional[str] = ..., display_phone_number: _Optional[str] = ..., name: _Optional[str] = ..., webhook_activated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_sync_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sync_status: _Optional[str] = ..., sync_error: _Optional[str] = ..., connection_state: _Optional[str] = ..., connection_reason: _Optional[str] = ..., connection_changed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., history: _Optional[_Union[SyncLog, _Mapping]] = ...) -> None: ...

class ListInstancesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListInstancesResponse(_message.Message):
    __slots__ = ("instances",)
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    instances: _containers.RepeatedCompositeFieldContainer[Instance]
    def __init__(self, instances: _Optional[_Iterable[_Union[Instance, _Mapping]]] = ...) -> None: ...

class StartSyncRequest(_message.Message):
    __slots__ = ("lead_id",)
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    def __init__(self, lead_id: _Optional[str] = ...) -> None: ...

class GetSyncRequest(_message.Message):
    __slots__ = ("sync_id",)
    SYNC_ID_FIELD_NUMBER: _ClassVar[int]
    sync_id: str
    def __init__(self, sync_id: _Optional[str] = ...) -> None: ...

class RunSyncRequest(_message.Message):
    __slots__ = ("tenant", "sync_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SYNC_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    sync_id: str
    def __init__(self, tenant: _Optional[str] = ..., sync_id: _Optional[str] = ...) -> None: ...

class SyncLog(_message.Message):
    __slots__ = ("id", "lead_id", "sync_type", "status", "step", "percent", "messages_imported", "error_message", "created_at", "started_at", "completed_at", "instance_id", "detail_json")
    ID_FIELD_NUMBER: _ClassVar[int]
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    SYNC_TYPE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_IMPORTED_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    lead_id: str
    sync_type: str
    status: str
    step: str
    percent: int
    messages_imported: int
    error_message: str
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    completed_at: _timestamp_pb2.Timestamp
    instance_id: str
    detail_json: str
    def __init__(self, id: _Optional[str] = ..., lead_id: _Optional[str] = ..., sync_type: _Optional[str] = ..., status: _Optional[str] = ..., step: _Optional[str] = ..., percent: _Optional[int] = ..., messages_imported: _Optional[int] = ..., error_message: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., instance_id: _Optional[str] = ..., detail_json: _Optional[str] = ...) -> None: ...

class ListWebhookFailuresRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWebhookFailuresResponse(_message.Message):
    __slots__ = ("failures", "next_page_token", "total_size")
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    failures: _containers.RepeatedCompositeFieldContainer[WebhookFailure]
    next_page_token: str
    total_size: int
    def __init__(self, failures: _Optional[_Iterable[_Union[WebhookFailure, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class WebhookFailure(_message.Message):
    __slots__ = ("batch_id", "received_at", "attempts", "body_bytes", "faults")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    received_at: _timestamp_pb2.Timestamp
    attempts: int
    body_bytes: int
    faults: _containers.RepeatedCompositeFieldContainer[ItemFault]
    def __init__(self, batch_id: _Optional[str] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempts: _Optional[int] = ..., body_bytes: _Optional[int] = ..., faults: _Optional[_Iterable[_Union[ItemFault, _Mapping]]] = ...) -> None: ...

class ItemFault(_message.Message):
    __slots__ = ("path", "reason")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    path: str
    reason: str
    def __init__(self, path: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ReplayWebhooksRequest(_message.Message):
    __slots__ = ("states", "from_time", "to_time", "tenant", "phone_number_id", "parser_version_below")
    STATES_FIELD_NUMBER: _ClassVar[int]
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    TO_TIME_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PHONE_NUMBER_ID_FIELD_NUMBER: _ClassVar[int]
    PARSER_VERSION_BELOW_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[LedgerState]
    from_time: _timestamp_pb2.Timestamp
    to_time: _timestamp_pb2.Timestamp
    tenant: str
    phone_number_id: str
    parser_version_below: int
    def __init__(self, states: _Optional[_Iterable[_Union[LedgerState, str]]] = ..., from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., to_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tenant: _Optional[str] = ..., phone_number_id: _Optional[str] = ..., parser_version_below: _Optional[int] = ...) -> None: ...

class ReplayProgress(_message.Message):
    __slots__ = ("webhooks_total", "webhooks_done", "messages_imported", "webhooks_failed", "webhooks_replayed")
    WEBHOOKS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    WEBHOOKS_DONE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_IMPORTED_FIELD_NUMBER: _ClassVar[int]
    WEBHOOKS_FAILED_FIELD_NUMBER: _ClassVar[int]
    WEBHOOKS_REPLAYED_FIELD_NUMBER: _ClassVar[int]
    webhooks_total: int
    webhooks_done: int
    messages_imported: int
    webhooks_failed: int
    webhooks_replayed: int
    def __init__(self, webhooks_total: _Optional[int] = ..., webhooks_done: _Optional[int] = ..., messages_imported: _Optional[int] = ..., webhooks_failed: _Optional[int] = ..., webhooks_replayed: _Optional[int] = ...) -> None: ...

class GetLeadProfileRequest(_message.Message):
    __slots__ = ("tenant", "lead_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    lead_id: str
    def __init__(self, tenant: _Optional[str] = ..., lead_id: _Optional[str] = ...) -> None: ...

class LeadProfile(_message.Message):
    __slots__ = ("lead_id", "name", "wa_id", "user_id", "username", "last_message_at", "instance_id", "phone_number_id")
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WA_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    LAST_MESSAGE_AT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    PHONE_NUMBER_ID_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    name: str
    wa_id: str
    user_id: str
    username: str
    last_message_at: _timestamp_pb2.Timestamp
    instance_id: str
    phone_number_id: str
    def __init__(self, lead_id: _Optional[str] = ..., name: _Optional[str] = ..., wa_id: _Optional[str] = ..., user_id: _Optional[str] = ..., username: _Optional[str] = ..., last_message_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., instance_id: _Optional[str] = ..., phone_number_id: _Optional[str] = ...) -> None: ...

class ApplyLeadProfileRequest(_message.Message):
    __slots__ = ("tenant", "lead_id", "outbox_id", "name", "profile_picture_url", "is_verified", "last_seen_at", "status", "sources_json", "wa_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROFILE_PICTURE_URL_FIELD_NUMBER: _ClassVar[int]
    IS_VERIFIED_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_AT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_JSON_FIELD_NUMBER: _ClassVar[int]
    WA_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    lead_id: str
    outbox_id: str
    name: str
    profile_picture_url: str
    is_verified: bool
    last_seen_at: _timestamp_pb2.Timestamp
    status: str
    sources_json: str
    wa_id: str
    def __init__(self, tenant: _Optional[str] = ..., lead_id: _Optional[str] = ..., outbox_id: _Optional[str] = ..., name: _Optional[str] = ..., profile_picture_url: _Optional[str] = ..., is_verified: _Optional[bool] = ..., last_seen_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., status: _Optional[str] = ..., sources_json: _Optional[str] = ..., wa_id: _Optional[str] = ...) -> None: ...

class GetBatchRequest(_message.Message):
    __slots__ = ("batch_id",)
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    def __init__(self, batch_id: _Optional[str] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("id", "received_at", "state", "attempts", "body_bytes", "parser_version", "items", "faults")
    ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    PARSER_VERSION_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    received_at: _timestamp_pb2.Timestamp
    state: LedgerState
    attempts: int
    body_bytes: int
    parser_version: int
    items: _containers.RepeatedCompositeFieldContainer[BatchItem]
    faults: _containers.RepeatedCompositeFieldContainer[ItemFault]
    def __init__(self, id: _Optional[str] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[LedgerState, str]] = ..., attempts: _Optional[int] = ..., body_bytes: _Optional[int] = ..., parser_version: _Optional[int] = ..., items: _Optional[_Iterable[_Union[BatchItem, _Mapping]]] = ..., faults: _Optional[_Iterable[_Union[ItemFault, _Mapping]]] = ...) -> None: ...

class BatchItem(_message.Message):
    __slots__ = ("path", "kind", "outcome", "message_id", "wamid", "type")
    PATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    WAMID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    path: str
    kind: str
    outcome: str
    message_id: str
    wamid: str
    type: str
    def __init__(self, path: _Optional[str] = ..., kind: _Optional[str] = ..., outcome: _Optional[str] = ..., message_id: _Optional[str] = ..., wamid: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class ListAccountEventsRequest(_message.Message):
    __slots__ = ("instance_id", "page_size", "page_token")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    page_size: int
    page_token: str
    def __init__(self, instance_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAccountEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token", "total_size")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[AccountEvent]
    next_page_token: str
    total_size: int
    def __init__(self, events: _Optional[_Iterable[_Union[AccountEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class AccountEvent(_message.Message):
    __slots__ = ("id", "field", "event", "happened_at", "value_json", "instance_id", "account_id", "batch_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    HAPPENED_AT_FIELD_NUMBER: _ClassVar[int]
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    field: str
    event: str
    happened_at: _timestamp_pb2.Timestamp
    value_json: str
    instance_id: str
    account_id: str
    batch_id: str
    def __init__(self, id: _Optional[str] = ..., field: _Optional[str] = ..., event: _Optional[str] = ..., happened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., value_json: _Optional[str] = ..., instance_id: _Optional[str] = ..., account_id: _Optional[str] = ..., batch_id: _Optional[str] = ...) -> None: ...

class MergeLeadsRequest(_message.Message):
    __slots__ = ("tenant", "lead_id", "other_lead_id", "outbox_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    OTHER_LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    lead_id: str
    other_lead_id: str
    outbox_id: str
    def __init__(self, tenant: _Optional[str] = ..., lead_id: _Optional[str] = ..., other_lead_id: _Optional[str] = ..., outbox_id: _Optional[str] = ...) -> None: ...

class MergeLeadsResponse(_message.Message):
    __slots__ = ("lead_id",)
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    def __init__(self, lead_id: _Optional[str] = ...) -> None: ...

class ListLeadMergesRequest(_message.Message):
    __slots__ = ("lead_id",)
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    def __init__(self, lead_id: _Optional[str] = ...) -> None: ...

class ListLeadMergesResponse(_message.Message):
    __slots__ = ("merges",)
    MERGES_FIELD_NUMBER: _ClassVar[int]
    merges: _containers.RepeatedCompositeFieldContainer[LeadMerge]
    def __init__(self, merges: _Optional[_Iterable[_Union[LeadMerge, _Mapping]]] = ...) -> None: ...

class LeadMerge(_message.Message):
    __slots__ = ("id", "lead_id", "merged_lead_id", "message_count", "merged_at", "undone_at", "sync_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    MERGED_LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MERGED_AT_FIELD_NUMBER: _ClassVar[int]
    UNDONE_AT_FIELD_NUMBER: _ClassVar[int]
    SYNC_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    lead_id: str
    merged_lead_id: str
    message_count: int
    merged_at: _timestamp_pb2.Timestamp
    undone_at: _timestamp_pb2.Timestamp
    sync_id: str
    def __init__(self, id: _Optional[str] = ..., lead_id: _Optional[str] = ..., merged_lead_id: _Optional[str] = ..., message_count: _Optional[int] = ..., merged_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., undone_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sync_id: _Optional[str] = ...) -> None: ...

class UndoLeadMergeRequest(_message.Message):
    __slots__ = ("lead_id", "merge_id")
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    MERGE_ID_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    merge_id: str
    def __init__(self, lead_id: _Optional[str] = ..., merge_id: _Optional[str] = ...) -> None: ...

class ApplyWebhookRequest(_message.Message):
    __slots__ = ("tenant", "batch_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    batch_id: str
    def __init__(self, tenant: _Optional[str] = ..., batch_id: _Optional[str] = ...) -> None: ...

class ApplyWebhookResponse(_message.Message):
    __slots__ = ("state", "messages_imported")
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_IMPORTED_FIELD_NUMBER: _ClassVar[int]
    state: LedgerState
    messages_imported: int
    def __init__(self, state: _Optional[_Union[LedgerState, str]] = ..., messages_imported: _Optional[int] = ...) -> None: ...

class ImportChatRequest(_message.Message):
    __slots__ = ("lead_id", "instance_id", "file", "business_participant", "time_zone", "date_order", "is_dry_run")
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    DATE_ORDER_FIELD_NUMBER: _ClassVar[int]
    IS_DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    instance_id: str
    file: bytes
    business_participant: str
    time_zone: str
    date_order: str
    is_dry_run: bool
    def __init__(self, lead_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., file: _Optional[bytes] = ..., business_participant: _Optional[str] = ..., time_zone: _Optional[str] = ..., date_order: _Optional[str] = ..., is_dry_run: _Optional[bool] = ...) -> None: ...

class ListSyncsRequest(_message.Message):
    __slots__ = ("lead_id", "page_size", "page_token")
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    page_size: int
    page_token: str
    def __init__(self, lead_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSyncsResponse(_message.Message):
    __slots__ = ("syncs", "next_page_token", "total_size")
    SYNCS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    syncs: _containers.RepeatedCompositeFieldContainer[SyncLog]
    next_page_token: str
    total_size: int
    def __init__(self, syncs: _Optional[_Iterable[_Union[SyncLog, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class ListTicketsRequest(_message.Message):
    __slots__ = ("lead_id", "page_size", "page_token")
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    lead_id: str
    page_size: int
    page_token: str
    def __init__(self, lead_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTicketsResponse(_message.Message):
    __slots__ = ("tickets", "next_page_token", "total_size")
    TICKETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    tickets: _containers.RepeatedCompositeFieldContainer[Ticket]
    next_page_token: str
    total_size: int
    def __init__(self, tickets: _Optional[_Iterable[_Union[Ticket, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class CloseTicketRequest(_message.Message):
    __slots__ = ("ticket_id",)
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    def __init__(self, ticket_id: _Optional[str] = ...) -> None: ...

class ReopenTicketRequest(_message.Message):
    __slots__ = ("ticket_id",)
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    def __init__(self, ticket_id: _Optional[str] = ...) -> None: ...

class Ticket(_message.Message):
    __slots__ = ("id", "lead_id", "opened_at", "closed_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    LEAD_ID_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    lead_id: str
    opened_at: _timestamp_pb2.Timestamp
    closed_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., lead_id: _Optional[str] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., closed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateExportRequest(_message.Message):
    __slots__ = ("format", "language", "time_zone", "lead_ids", "from_time", "to_time", "instance_id")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    LEAD_IDS_FIELD_NUMBER: _ClassVar[int]
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    TO_TIME_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    format: str
    language: str
    time_zone: str
    lead_ids: _containers.RepeatedScalarFieldContainer[str]
    from_time: _timestamp_pb2.Timestamp
    to_time: _timestamp_pb2.Timestamp
    instance_id: str
    def __init__(self, format: _Optional[str] = ..., language: _Optional[str] = ..., time_zone: _Optional[str] = ..., lead_ids: _Optional[_Iterable[str]] = ..., from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., to_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., instance_id: _Optional[str] = ...) -> None: ...

class GetExportRequest(_message.Message):
    __slots__ = ("export_id", "is_download")
    EXPORT_ID_FIELD_NUMBER: _ClassVar[int]
    IS_DOWNLOAD_FIELD_NUMBER: _ClassVar[int]
    export_id: str
    is_download: bool
    def __init__(self, export_id: _Optional[str] = ..., is_download: _Optional[bool] = ...) -> None: ...

class Export(_message.Message):
    __slots__ = ("id", "status", "percent", "leads_done", "leads_total", "file_bytes", "error_message", "created_at", "started_at", "completed_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    LEADS_DONE_FIELD_NUMBER: _ClassVar[int]
    LEADS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    FILE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: str
    percent: int
    leads_done: int
    leads_total: int
    file_bytes: int
    error_message: str
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    completed_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., status: _Optional[str] = ..., percent: _Optional[int] = ..., leads_done: _Optional[int] = ..., leads_total: _Optional[int] = ..., file_bytes: _Optional[int] = ..., error_message: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetExportWorkRequest(_message.Message):
    __slots__ = ("tenant", "export_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    EXPORT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    export_id: str
    def __init__(self, tenant: _Optional[str] = ..., export_id: _Optional[str] = ...) -> None: ...

class ExportWork(_message.Message):
    __slots__ = ("export", "request", "requested_by", "instance_ids", "is_limited")
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_IDS_FIELD_NUMBER: _ClassVar[int]
    IS_LIMITED_FIELD_NUMBER: _ClassVar[int]
    export: Export
    request: CreateExportRequest
    requested_by: str
    instance_ids: _containers.RepeatedScalarFieldContainer[str]
    is_limited: bool
    def __init__(self, export: _Optional[_Union[Export, _Mapping]] = ..., request: _Optional[_Union[CreateExportRequest, _Mapping]] = ..., requested_by: _Optional[str] = ..., instance_ids: _Optional[_Iterable[str]] = ..., is_limited: _Optional[bool] = ...) -> None: ...

class UpdateExportRequest(_message.Message):
    __slots__ = ("tenant", "export_id", "status", "leads_done", "leads_total", "file_bytes", "error_message")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    EXPORT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LEADS_DONE_FIELD_NUMBER: _ClassVar[int]
    LEADS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    FILE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    export_id: str
    status: str
    leads_done: int
    leads_total: int
    file_bytes: int
    error_message: str
    def __init__(self, tenant: _Optional[str] = ..., export_id: _Optional[str] = ..., status: _Optional[str] = ..., leads_done: _Optional[int] = ..., leads_total: _Optional[int] = ..., file_bytes: _Optional[int] = ..., error_message: _Optional[str] = ...) -> None: ...
