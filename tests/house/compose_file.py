"""Reads compose.yaml: the small part of YAML it is written in, and refuses whatever else it meets.

Mappings by indentation, values in JSON, anchors and aliases of whole values, merges.
"""

import json
import re
from typing import Any, Final

from tests.house.tree import ROOT

_LINE: Final = re.compile(r"(?P<indent> *)(?P<key>[\w.-]+|<<):(?: (?P<value>.+))?")
_ANCHORED: Final = re.compile(r"&(?P<anchor>\w+)(?: (?P<rest>.+))?")


def load(path: str = "compose.yaml") -> dict[str, Any]:
    return parse((ROOT / path).read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Any]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    anchors: dict[str, Any] = {}
    found, rest = _mapping(lines, 0, anchors)
    if rest:
        raise ValueError(f"not understood: {rest[0]}")
    return found


def _mapping(lines: list[str], indent: int, anchors: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    merged: dict[str, Any] = {}
    own: dict[str, Any] = {}
    while lines:
        matched = _LINE.fullmatch(lines[0])
        if matched is None:
            raise ValueError(f"not understood: {lines[0]}")
        if len(matched["indent"]) < indent:
            break
        if len(matched["indent"]) > indent or matched["key"] in own:
            raise ValueError(f"indented wrongly, or there already: {lines[0]}")
        value, lines = _value(matched["value"] or "", lines[1:], indent, anchors)
        if matched["key"] == "<<":
            merged |= value
        else:
            own[matched["key"]] = value
    return {**merged, **own}, lines


def _value(text: str, lines: list[str], indent: int, anchors: dict[str, Any]) -> tuple[Any, list[str]]:
    anchored = _ANCHORED.fullmatch(text)
    if anchored:
        value, lines = _value(anchored["rest"] or "", lines, indent, anchors)
        anchors[anchored["anchor"]] = value
        return value, lines
    if text.startswith("*"):
        return anchors[text[1:]], lines
    if text:
        return json.loads(text), lines
    return _mapping(lines, indent + 2, anchors)
