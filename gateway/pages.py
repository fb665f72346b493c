"""The inbox, the panel's module, the reference of the API: files of this package, served as they are."""

import importlib.resources
import mimetypes
from collections.abc import Mapping
from typing import Any, Final

import flask

from gateway import openapi, reference, render
from gateway.operations import PREFIX, Operation

DOCUMENT: Final = "/api/v1/openapi.json"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " media-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # A new version is seen at once; what has not changed is not sent again.
    "Cache-Control": "no-cache",
}


class Pages:
    """Reads every file once, when the gateway starts."""

    def __init__(self, operations: list[Operation]) -> None:
        folder = importlib.resources.files("gateway") / "static"
        self._files: Mapping[str, tuple[bytes, str]] = {
            file.name: (file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")
            for file in folder.iterdir()
            if file.is_file()
        }
        document: dict[str, Any] = openapi.document(operations)
        self._document = render.encode(document)
        self._reference = reference.page(document, DOCUMENT).encode()

    def inbox(self) -> flask.Response:
        return _answer(*self._files["inbox.html"])

    def static(self, name: str) -> flask.Response:
        if name not in self._files or name.endswith(".html"):
            flask.abort(404)
        response = _answer(*self._files[name])
        # The panel is for any frontend.
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response

    def openapi(self) -> flask.Response:
        return _answer(self._document, "application/json")

    def reference(self) -> flask.Response:
        return _answer(self._reference, "text/html")


def _answer(content: bytes, media_type: str) -> flask.Response:
    response = flask.Response(content, content_type=f"{media_type}; charset=utf-8")
    response.headers.update(_HEADERS)
    response.add_etag()
    response.make_conditional(flask.request)
    return response


def is_of_the_api(path: str) -> bool:
    return path.startswith((PREFIX, "/session"))
