import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StoreAccessTokenRequest(_message.Message):
    __slots__ = ("instance_id", "access_token")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    access_token: str
    def __init__(self, instance_id: _Optional[str] = ..., access_token: _Optional[str] = ...) -> None: ...

class StoreAccessTokenResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FetchContactProfileRequest(_message.Message):
    __slots__ = ("tenant", "instance_id", "phone_number_id", "wa_id", "known_name", "known_last_message_at")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    PHONE_NUMBER_ID_FIELD_NUMBER: _ClassVar[int]
    WA_ID_FIELD_NUMBER: _ClassVar[int]
    KNOWN_NAME_FIELD_NUMBER: _ClassVar[int]
    KNOWN_LAST_MESSAGE_AT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    instance_id: str
    phone_number_id: str
    wa_id: str
    known_name: str
    known_last_message_at: _timestamp_pb2.Timestamp
    def __init__(self, tenant: _Optional[str] = ..., instance_id: _Optional[str] = ..., phone_number_id: _Optional[str] = ..., wa_id: _Optional[str] = ..., known_name: _Optional[str] = ..., known_last_message_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ContactProfile(_message.Message):
    __slots__ = ("name", "profile_picture_url", "is_verified", "last_seen_at", "status", "sources", "graph_outcome")
    class SourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROFILE_PICTURE_URL_FIELD_NUMBER: _ClassVar[int]
    IS_VERIFIED_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_AT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    GRAPH_OUTCOME_FIELD_NUMBER: _ClassVar[int]
    name: str
    profile_picture_url: str
    is_verified: bool
    last_seen_at: _timestamp_pb2.Timestamp
    status: str
    sources: _containers.ScalarMap[str, str]
    graph_outcome: str
    def __init__(self, name: _Optional[str] = ..., profile_picture_url: _Optional[str] = ..., is_verified: _Optional[bool] = ..., last_seen_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., status: _Optional[str] = ..., sources: _Optional[_Mapping[str, str]] = ..., graph_outcome: _Optional[str] = ...) -> None: ...
