"""/docs: the OpenAPI document as a page to read, made here so that it works offline and runs no script."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final, cast

_METHODS: Final = ("get", "post", "delete", "put", "patch")


def page(document: Mapping[str, Any], address: str) -> str:
    """Give the page; `address` is where the document itself is."""
    info = document["info"]
    operations = [
        (path, method, cast("dict[str, Any]", found[method]))
        for path, found in document["paths"].items()
        for method in _METHODS
        if method in found
    ]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(info['title'])} API</title>",
        '<link rel="stylesheet" href="/static/reference.css">',
        "</head><body><header>",
        f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>",
        f"<p>{escape(info['summary'])}</p>",
        f'<p>OpenAPI 3.1: <a href="{escape(address)}">{escape(address)}</a></p>',
        '</header><nav aria-label="Operations">',
    ]
    for tag in document["tags"]:
        parts.append(f"<h2>{escape(tag['name'])}</h2><ul>")
        parts += [
            f'<li><a href="#{found["operationId"]}">{escape(found["summary"])}</a></li>'
            for _, _, found in operations
            if tag["name"] in found["tags"]
        ]
        parts.append("</ul>")
    parts.append('<h2>Shapes</h2><p><a href="#shapes">All shapes</a></p></nav><main>')
    for tag in document["tags"]:
        parts.append(f"<section><h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>")
        for path, method, found in operations:
            if tag["name"] in found["tags"]:
                parts += _operation(path, method, found)
        parts.append("</section>")
    parts.append('<section id="shapes"><h2>Shapes</h2>')
    for name, schema in document["components"]["schemas"].items():
        parts += _shape(name, schema)
    parts.append("</section></main></body></html>")
    return "".join(parts)


def _operation(path: str, method: str, found: Mapping[str, Any]) -> list[str]:
    parts = [
        f'<article id="{found["operationId"]}"><h3>{escape(found["summary"])}</h3>',
        f"<p><code><b>{method.upper()}</b> {escape(path)}</code></p>",
        f"<p>{escape(found['description'])}</p>",
    ]
    if found["parameters"]:
        parts.append("<table><caption>Parameters</caption><thead><tr>")
        parts.append("<th>Name</th><th>In</th><th>Type</th><th>Meaning</th></tr></thead><tbody>")
        for parameter in found["parameters"]:
            needed = " <em>required</em>" if parameter["required"] else ""
            meaning = escape(parameter.get("description", ""))
            parts.append(
                f"<tr><td><code>{escape(parameter['name'])}</code>{needed}</td><td>{parameter['in']}</td>"
                f"<td>{_type(parameter['schema'])}</td><td>{meaning}</td></tr>"
            )
        parts.append("</tbody></table>")
    if "requestBody" in found:
        parts.append("<p>Body: " + _content(found["requestBody"]["content"]) + "</p>")
    parts.append("<table><caption>Answers</caption><thead><tr><th>Status</th><th>Meaning</th><th>Body</th>")
    parts.append("</tr></thead><tbody>")
    for status, answer in sorted(found["responses"].items()):
        parts.append(
            f"<tr><td>{status}</td><td>{escape(answer['description'])}</td>"
            f"<td>{_content(answer.get('content', {}))}</td></tr>"
        )
    parts.append("</tbody></table></article>")
    return parts


def _shape(name: str, schema: Mapping[str, Any]) -> list[str]:
    required = set(schema.get("required", ()))
    parts = [f'<article id="shape-{escape(name)}"><h3>{escape(name)}</h3>']
    if "description" in schema:
        parts.append(f"<p>{escape(schema['description'])}</p>")
    parts.append("<table><thead><tr><th>Field</th><th>Type</th></tr></thead><tbody>")
    for field, told in schema.get("properties", {}).items():
        optional = "" if field in required else " <em>optional</em>"
        parts.append(f"<tr><td><code>{escape(field)}</code>{optional}</td><td>{_type(told)}</td></tr>")
    parts.append("</tbody></table></article>")
    return parts


def _content(content: Mapping[str, Any]) -> str:
    return ", ".join(
        f"<code>{escape(media_type)}</code> {_type(told['schema']) if 'schema' in told else ''}"
        for media_type, told in content.items()
    )


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#shape-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return "array of " + _type(schema.get("items", {}))
    shown = str(schema.get("type", "any"))
    if "format" in schema:
        shown += f" ({schema['format']})"
    bounds = [
        f"{words} {schema[key]}"
        for key, words in (
            ("minimum", "at least"),
            ("maximum", "at most"),
            ("maxLength", "characters at most"),
            ("default", "default"),
        )
        if key in schema
    ]
    return escape(", ".join([shown, *bounds]))
