"""The view of what other messages said of one: its reactions, its edits, its revoke, the events of a call.

The capture service keeps them as sets (`whatsapp_messages.mentions`), so that their order of arrival
does not matter; which of them counts is decided here, by the time at which each was said, for what the
history service shows and for what the capture service keeps to be searched.
"""

from typing import Any, Final

import msgspec


class Reaction(msgspec.Struct, frozen=True):
    at: int
    wamid: str
    by: str
    """`contact`, `business`, or who of a group: user id and number, as far as they are told."""
    emoji: str | None = None


class Edit(msgspec.Struct, frozen=True):
    at: int
    wamid: str
    type: str = "unknown"
    body: str | None = None
    content: dict[str, Any] = {}
    version: int = 0
    """Of the parser that read it: a newer reading of an edit counts."""


class Revoke(msgspec.Struct, frozen=True):
    at: int
    wamid: str


class Mentions(msgspec.Struct, frozen=True):
    reactions: list[Reaction] = []
    edits: list[Edit] = []
    revokes: list[Revoke] = []
    calls: list[dict[str, Any]] = []


NONE: Final = Mentions()
read: Final = msgspec.json.Decoder(Mentions).decode


def standing_reactions(reactions: list[Reaction]) -> list[Reaction]:
    """Give the last reaction of each person unless it is taken back, oldest first."""
    # One that came by several routes is one: a fill of a history names the contact for the business.
    by_trust = sorted(reactions, key=lambda found: (found.by == "business", len(found.by), found.by))
    once = {found.wamid: found for found in by_trust}
    last: list[tuple[set[str], Reaction]] = []
    for reaction in sorted(once.values(), key=lambda found: (found.at, found.wamid, found.emoji or "")):
        who = set(reaction.by.split())
        same = [known for known, _ in last if known & who]
        last = [entry for entry in last if not entry[0] & who]
        last.append((who.union(*same), reaction))
    standing = [reaction for _, reaction in last if reaction.emoji]
    return sorted(standing, key=lambda found: (found.at, found.wamid))


def in_order(edits: list[Edit]) -> list[Edit]:
    """Give the edits, the newest last; one that came by several routes is one."""
    told = sorted(edits, key=lambda found: (found.version, found.at, found.body or ""))
    by_wamid = {edit.wamid: edit for edit in told}
    return sorted(by_wamid.values(), key=lambda found: (found.at, found.wamid))


def first_revoke(revokes: list[Revoke]) -> Revoke | None:
    return min(revokes, key=lambda found: (found.at, found.wamid), default=None)


def shown(said: Mentions) -> str | None:
    """Give the text that a message shows after all that was said of it; None while that is its own body."""
    if said.revokes:
        return ""
    edits = in_order(said.edits)
    return (edits[-1].body or "") if edits else None
