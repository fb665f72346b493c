"""The OpenAPI 3.1 document of the REST API, made of the declarations that check its requests."""

import importlib.metadata
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from gateway import parameters, problems, shapes
from gateway.operations import PREFIX, File, Operation

_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"
_REF: Final = "#/components/schemas/{name}"
# Whatever is asked may meet these.
_ALWAYS: Final = (400, 401, 403, 429, 503)
_TAGS: Final = {
    "History": "What was said, to and by whom.",
    "Leads": "The people and groups a business talks to.",
    "Recovery": "Bringing what is missing, and saying what is.",
    "Instances": "The connected numbers of the business.",
    "Administration": "What came in, what could not be applied, who read what.",
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same request gives the first answer again, for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

_TAG: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of an answer that is known: 304 while it is still the same.",
    "schema": {"type": "string"},
}
_PLACE: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The id of the last event that was heard: what came since is told first.",
    "schema": {"type": "string", "maxLength": 8192},
}
_HEADERS: Final = {
    "ETag": "Weak; of the answer, without what is only about the asking.",
    "Link": 'The next page, rel="next" (RFC 8288); not on the last one.',
    "RateLimit": "What is left of the limit, and when it is whole again, in seconds (RFC 9651 list).",
    "RateLimit-Policy": "How many requests in how many seconds.",
    "Retry-After": "Seconds to wait before asking again.",
    "X-RateLimit-Limit": "How many requests there may be.",
    "X-RateLimit-Remaining": "How many are left.",
    "X-RateLimit-Reset": "When the limit is whole again, in seconds since 1970.",
}
_OF_LIMITS: Final = tuple(name for name in _HEADERS if "RateLimit" in name)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    shown = [
        shape
        for operation in operations
        for shape in (operation.answer, operation.body, *operation.also.values())
        if isinstance(shape, type)
    ]
    _, schemas = msgspec.json.schema_components(
        list(dict.fromkeys([*shown, shapes.Problem])), ref_template=_REF
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Recado",
            "version": importlib.metadata.version("recado"),
            "summary": "The complete history of a business's WhatsApp conversations.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": {
                name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": f"Scope: {' or '.join(operation.scopes)}.",
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
                for name in operation.path_parameters
            ),
            *(
                {
                    "name": name,
                    "in": "query",
                    "required": rule.is_required,
                    "description": rule.description,
                    "schema": rule.schema,
                }
                for _, name, rule in parameters.rules(operation.query)
            ),
            *([_KEY] if operation.takes_key else []),
            *([_TAG] if operation.has_etag else []),
            *([_PLACE] if isinstance(operation.answer, File) and operation.answer.is_stream else []),
        ],
        "responses": {
            str(status): _answer(status, shape) | _headers(_of_answer(operation))
            for status, shape in {operation.status: operation.answer, **operation.also}.items()
        }
        | {
            str(status): {
                "description": problems.TITLES[status],
                "content": {_PROBLEM: {"schema": {"$ref": _REF.format(name="Problem")}}},
            }
            | _headers(["Retry-After"] if status in (429, 503) else [])
            for status in sorted({*_ALWAYS, *operation.errors, *_of_shape(operation)})
        },
    }
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": _content(operation.body)}
    return found


def _of_shape(operation: Operation) -> set[int]:
    """Give the errors that follow from what an operation takes."""
    has_path = {404} if operation.path_parameters else set[int]()
    has_body = {413, 415} if operation.body is not None else set[int]()
    has_key = {409, 422} if operation.takes_key else set[int]()
    return has_path | has_body | has_key


def _of_answer(operation: Operation) -> list[str]:
    """Name the headers of an operation's good answers."""
    answer = operation.answer
    is_page = isinstance(answer, type) and "pagination" in answer.__struct_fields__
    return [
        *(["ETag"] if operation.has_etag else []),
        *(["Link"] if is_page else []),
        *(_OF_LIMITS if operation.is_limited else ()),
    ]


def _headers(names: Sequence[str]) -> dict[str, Any]:
    return {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}} if names else {}


def _answer(status: int, shape: type[msgspec.Struct] | File | None) -> dict[str, Any]:
    described = HTTPStatus(status).phrase
    if shape is None:
        return {"description": described}
    text = shape.description if isinstance(shape, File) else (shape.__doc__ or "").strip() or described
    return {"description": text, "content": _content(shape)}


def _content(shape: type[msgspec.Struct] | File) -> dict[str, Any]:
    if isinstance(shape, File):
        return {media_type: {"schema": _file_schema(media_type)} for media_type in shape.media_types}
    return {_JSON: {"schema": {"$ref": _REF.format(name=shape.__name__)}}}


def _file_schema(media_type: str) -> dict[str, Any]:
    """Describe a file as generators of clients know one; in a form it is the part `file`."""
    if media_type.startswith("text/"):
        return {"type": "string"}
    content = {"type": "string", "format": "binary"}
    if media_type != "multipart/form-data":
        return content
    return {"type": "object", "properties": {"file": content}, "required": ["file"]}
