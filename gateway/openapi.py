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
        ],
        "responses": {
            str(status): _answer(status, shape)
            for status, shape in {operation.status: operation.answer, **operation.also}.items()
        }
        | {
            str(status): {
                "description": problems.TITLES[status],
                "content": {_PROBLEM: {"schema": {"$ref": _REF.format(name="Problem")}}},
            }
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
