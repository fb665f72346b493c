"""Logs carry ids, sizes, durations and outcomes: never content, names, numbers or wamids.

A wamid contains the phone number, and so does much of what Meta calls an id.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Set

from tests.house.tree import ROOT, sources

_METHODS = {"debug", "info", "warning", "warn", "error", "exception", "critical", "log", "msg", "bind", "new"}
_LOGGERS = {"log", "logger", "_log", "_logger", "logging"}
# Whole words of a snake_case or camelCase name.
_PERSONAL = {
    "address",
    "answer",
    "body",
    "bsuid",
    "caption",
    "contact",
    "content",
    "email",
    "header",
    "headers",
    "msisdn",
    "name",
    "names",
    "number",
    "password",
    "payload",
    "person",
    "phone",
    "profile",
    "query",
    "recipient",
    "request",
    "response",
    "secret",
    "sender",
    "signature",
    "text",
    "token",
    "url",
    "username",
    "value",
    "wamid",
    "wamids",
}
_PERSONAL_PAIRS = ("wa_id", "user_id", "phone_number_id")
# Say nothing by themselves: personal as the name of a field, not as the name of what is put into it.
_GENERAL = {
    "address",
    "answer",
    "header",
    "headers",
    "name",
    "names",
    "number",
    "query",
    "text",
    "url",
    "value",
}
# Words that make a name harmless: how much of it there is, or which of ours it is.
_MEASURES = ("_bytes", "_chars", "_count", "_s", "_ms", "_max")
_HARMLESS = {
    "request_id",
    "address",
    "listen_address",
    "process_name",
    "service_name",
    "job_name",
    "file_name",
}


def _is_personal(name: str, words: Set[str] = _PERSONAL) -> bool:
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")
    if snake in _HARMLESS or snake.endswith(_MEASURES):
        return False
    return any(pair in snake for pair in _PERSONAL_PAIRS) or bool(words & set(snake.split("_")))


def _log_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _METHODS
            and _root_name(node.func.value) in _LOGGERS
        ):
            yield node


def _root_name(node: ast.expr) -> str:
    """Name the logger: `log`, `self._log`, `log.bind(...)`."""
    while True:
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Attribute):
            if node.attr in _LOGGERS:
                return node.attr
            node = node.value
        else:
            return node.id if isinstance(node, ast.Name) else ""


def _faults(call: ast.Call) -> Iterator[str]:
    """Say what of a call may let something personal out."""
    for argument in call.args:
        if not isinstance(argument, ast.Constant) and not (
            isinstance(argument, ast.Attribute | ast.Name) and not _is_personal(_last_name(argument))
        ):
            yield "the event is one constant word; what varies goes into fields"
    for keyword in call.keywords:
        fields = {keyword.arg: keyword.value}
        if keyword.arg == "extra":
            if not isinstance(keyword.value, ast.Dict):
                yield "extra is written out where it is logged"
                continue
            fields = {
                key.value if isinstance(key, ast.Constant) else None: value
                for key, value in zip(keyword.value.keys, keyword.value.values, strict=True)
            }
        for name, value in fields.items():
            if not isinstance(name, str):
                yield "fields are written out by their names"
                continue
            if _is_personal(name):
                yield f"a field called {name}"
            for part in ast.walk(value):
                # len(body) says how much, not what.
                if isinstance(part, ast.Call) and _last_name(part.func) == "len":
                    break
                if isinstance(part, ast.Attribute | ast.Name) and _is_personal(
                    _last_name(part), _PERSONAL - _GENERAL
                ):
                    yield f"{name}={ast.unparse(value)}"


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def test_no_log_call_names_anything_personal():
    found = [
        f"{path}:{call.lineno}: {fault}"
        for path, text in sources()
        for call in _log_calls(ast.parse(text))
        for fault in _faults(call)
    ]

    assert found == []


def test_the_check_finds_what_it_looks_for():
    planted = """
log.info("message_stored", wamid=message.wamid)
log.info("stored", extra={"size": message.body})
log.warning(f"from {number}")
self._log.error("refused", profile_name="x")
log.info("fine", body_bytes=len(body), lead_id=str(lead.id), service_name="gateway")
"""

    faulty = [call.lineno for call in _log_calls(ast.parse(planted)) if list(_faults(call))]

    assert faulty == [2, 3, 4, 5]


def test_a_trace_in_the_logs_shows_where_and_not_what():
    # PostgreSQL quotes the row that it refuses, msgspec the value: both end up in the exception's text.
    program = """
import logging
from plumbing import telemetry
telemetry.configure_logging("test")
try:
    try:
        raise KeyError("wamid.HBgNNTUx first secret")
    except KeyError as error:
        raise ValueError("Olá, meu número é 11 98888-7777") from error
except ValueError:
    logging.getLogger("x").exception("not_applied", extra={"batch_id": "b1"})
"""

    lines = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stderr.splitlines()

    assert len(lines) == 1
    entry = json.loads(lines[0])
    assert entry["event"] == "not_applied"
    assert entry["batch_id"] == "b1"
    assert "ValueError" in lines[0]
    assert "KeyError" in lines[0]
    assert "98888" not in lines[0]
    assert "wamid" not in lines[0]
