"""A conversation as one page that can be kept, read anywhere and printed.

It needs nothing else: no script, no font, no picture from elsewhere, and its own policy forbids them.
Whatever people wrote is text in it, never markup; a direction mark in a text ends with that text.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from gateway.exporting import message as reading
from gateway.exporting.document import Header, Options, Shown, encoded, in_chunks
from gateway.exporting.message import Message
from gateway.exporting.words import WORDS, Words, clock, day, short

# A reply mostly answers what was said just before; one that does not still has its link.
QUOTABLE_MAX: Final = 5_000
_QUOTE_CHARS_MAX: Final = 160
_REVISIONS_SHOWN_MAX: Final = 20

_TICKS: Final = {"pending": "🕓", "sent": "✓", "delivered": "✓✓", "read": "✓✓", "played": "✓✓"}
# Browsers drop some of these from an address before they look at its scheme.
_NOT_IN_ADDRESSES: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\\u200b-\u200f\u2028-\u202e\ufeff]")

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE: Final = """
:root{color-scheme:light dark;--page:#efeae2;--in:#fff;--out:#d9fdd3;--text:#111b21;--faint:#54656f;
--line:#d1d7db;--link:#01608c;--bad:#b3261e;--quote:#0000000d;--read:#01608c}
@media (prefers-color-scheme:dark){:root{--page:#0b141a;--in:#202c33;--out:#005c4b;--text:#e9edef;
--faint:#aebac1;--line:#3b4a54;--link:#8fd6f5;--bad:#ffb4ab;--quote:#ffffff14;--read:#8fd6f5}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.4 system-ui,sans-serif}
header,main,footer{max-width:52rem;margin:0 auto;padding:1rem}
header{border-bottom:1px solid var(--line)}
h1{font-size:1.4rem;margin:0 0 .5rem;overflow-wrap:anywhere}
h2{font-size:.85rem;font-weight:600;text-align:center;margin:1.5rem auto .75rem;color:var(--faint)}
header h2{text-align:start;margin:1rem 0 .25rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0}
dt,.meta,.who,footer{color:var(--faint)}
dd,p{margin:0}
ol{list-style:none;margin:0;padding:0;display:flex;flex-direction:column;gap:.4rem}
li.m{max-width:85%;padding:.4rem .65rem;border-radius:.6rem;background:var(--in);align-self:flex-start;
overflow-wrap:anywhere;min-width:6rem}
li.out{background:var(--out);align-self:flex-end}
li.m:target{outline:3px solid var(--link)}
.who{font-size:.8rem;font-weight:600}
.text{white-space:pre-wrap}
.gone,.label{font-style:italic;color:var(--faint)}
.meta{font-size:.75rem;text-align:end}
.read{color:var(--read)}
.failed{color:var(--bad);font-size:.85rem}
blockquote{margin:.2rem 0;padding:.3rem .5rem;border-inline-start:.25rem solid var(--link);
background:var(--quote);border-radius:.3rem;font-size:.9rem}
blockquote a{color:inherit;text-decoration:none;display:block}
a{color:var(--link)}
details{font-size:.85rem}
.reactions{font-size:.9rem}
@media print{:root{color-scheme:light;--page:#fff;--in:#fff;--out:#eee;--text:#000;--faint:#444;--line:#999;
--link:#000;--bad:#000;--quote:#fff;--read:#000}
body{font-size:11pt}
li.m{border:1px solid var(--line);break-inside:avoid}
h2{break-after:avoid}
header,main,footer{max-width:none;padding:.5rem 0}}
"""


class _Quotable(NamedTuple):
    author: str
    text: str


def write(header: Header, messages: Iterable[Shown], options: Options) -> Iterator[bytes]:
    """Write HTML in which nothing runs and that loads nothing.

    A reply quotes its target when that is among the last QUOTABLE_MAX messages, and else only links to it:
    so much is held, however long the conversation is. Media are links, to http, https or this site.
    """
    return in_chunks(encoded(_pieces(header, messages, options)))


def _pieces(header: Header, messages: Iterable[Shown], options: Options) -> Iterator[str]:
    words = WORDS[options.language]
    yield _head(header, words, options)
    quotable: OrderedDict[str, _Quotable] = OrderedDict()
    date = None
    count = 0
    for shown in messages:
        message = reading.read(shown)
        at = reading.local(message.timestamp, options.time_zone)
        if at.date() != date:
            if date is not None:
                yield "</ol></section>\n"
            date = at.date()
            yield (
                f'<section><h2><time datetime="{date.isoformat()}">'
                f"{escape(day(date, options.language))}</time></h2>\n<ol>\n"
            )
        author = _author(message, words)
        yield _bubble(message, author, quotable, words, options)
        quotable[message.id] = _Quotable(author, _summary(message, words))
        if len(quotable) > QUOTABLE_MAX:
            quotable.popitem(last=False)
        count += 1
    if date is not None:
        yield "</ol></section>\n"
    yield f"</main>\n<footer>{count} {words.message if count == 1 else words.messages}</footer>\n"
    yield "</body>\n</html>\n"


def _head(header: Header, words: Words, options: Options) -> str:
    lead = reading.as_dictionary(header.lead)
    number = reading.text_at(lead, "number")
    name = reading.name_of(
        reading.Party(reading.text_at(lead, "name"), number, reading.text_at(lead, "userId"))
    )
    title = f"{words.conversation} {name or words.unknown}"
    facts = [(words.number, number)]
    ends = [
        _short(end, options)
        for key in ("firstMessageAt", "lastMessageAt")
        if (end := reading.text_at(lead, key))
    ]
    if len(ends) == 2:
        facts.append((words.period, words.period_ends.format(first=ends[0], last=ends[1])))
    facts.append((words.exported, _short(header.exported_at.isoformat(), options)))
    facts.append((words.zone, str(options.time_zone)))
    listed = "".join(
        f"<dt>{_text(label)}</dt><dd><bdi>{_text(value)}</bdi></dd>" for label, value in facts if value
    )
    statements = "".join(f'<li dir="auto">{_text(statement)}</li>' for statement in header.statements)
    coverage = f"<h2>{_text(words.coverage)}</h2><ul>{statements}</ul>" if statements else ""
    return (
        f'<!doctype html>\n<html lang="{options.language}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{_text(words.conversation)} <bdi>{_text(name or words.unknown)}</bdi></h1>"
        f"<dl>{listed}</dl>{coverage}</header>\n<main>\n"
    )


def _bubble(
    message: Message,
    author: str,
    quotable: Mapping[str, _Quotable],
    words: Words,
    options: Options,
) -> str:
    parts = [
        f'<li id="{_anchor(message.id)}" class="m {"out" if message.is_outbound else "in"}">'
        f'<p class="who"><bdi>{_text(author)}</bdi></p>',
        _label(words.forwarded) if reading.is_forwarded(message) else "",
        _reply(message, quotable, words),
    ]
    if message.revoked_at:
        gone = words.was_deleted.format(when=_short(message.revoked_at, options))
        parts.append(f'<p class="gone">{_text(gone)}</p>')
    else:
        parts.append(_content(message, words))
        parts.append(_revisions(message, words, options))
    parts += (_failure(message, words), _reactions(message, words), _meta(message, words, options), "</li>\n")
    return "".join(parts)


def _content(message: Message, words: Words) -> str:
    said = reading.words_of(message)
    text = f'<div class="text" dir="auto">{_text(said)}</div>' if said else ""
    if message.is_media:
        return _media(message, words) + text
    if text:
        return text
    is_stub = message.is_outbound and message.type == "unknown"
    return f'<p class="gone">{_text(words.other_system if is_stub else words.no_content)}</p>'


def _media(message: Message, words: Words) -> str:
    parts = [_text(_media_kind(message, words))]
    if name := reading.file_name(message):
        parts.append(f"<bdi>{_text(name)}</bdi>")
    if message.media_url and is_safe_link(message.media_url):
        address = escape(message.media_url)
        parts.append(f'<a href="{address}" rel="noopener noreferrer">{_text(words.open)}</a>')
    return f'<p class="media">{" · ".join(parts)}</p>'


def _media_kind(message: Message, words: Words) -> str:
    return words.voice if message.body == reading.VOICE_SIGN else words.media[message.type]


def is_safe_link(address: str) -> bool:
    """Tell whether following the address can only ask a server: http, https, or a path of this site."""
    if _NOT_IN_ADDRESSES.search(address):
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if parts.scheme:
        return parts.scheme in ("http", "https") and bool(parts.netloc)
    # "//elsewhere/x" goes to another site; a colon in what should be a path may pass for a scheme.
    return not address.startswith("//") and ":" not in address.partition("/")[0]


def _reply(message: Message, quotable: Mapping[str, _Quotable], words: Words) -> str:
    target, is_reply = reading.reply_target(message)
    if not is_reply:
        return ""
    if target is None:
        return _label(words.reply_elsewhere)
    quoted = quotable.get(target)
    link = f'<a href="#{escape(quote(_raw_anchor(target), safe=""))}">'
    if quoted is None:
        return f'<p class="label">{link}{_text(words.reply)}</a></p>'
    return (
        f"<blockquote>{link}<b><bdi>{_text(quoted.author)}</bdi></b> "
        f"<bdi>{_text(quoted.text)}</bdi></a></blockquote>"
    )


def _revisions(message: Message, words: Words, options: Options) -> str:
    earlier = [revision for revision in message.revisions if revision.body][-_REVISIONS_SHOWN_MAX:]
    if not earlier:
        return ""
    shown = "".join(
        (f"<p>{_text(_short(revision.timestamp, options))}</p>" if revision.timestamp else "")
        + f'<div class="text" dir="auto">{_text(revision.body or "")}</div>'
        for revision in earlier
    )
    return f"<details><summary>{_text(words.before_edit)}</summary>{shown}</details>"


def _failure(message: Message, words: Words) -> str:
    reason = reading.failure(message)
    if message.status != "failed":
        return f'<p class="failed"><bdi>{_text(reason)}</bdi></p>' if reason else ""
    why = f": <bdi>{_text(reason)}</bdi>" if reason else ""
    return f'<p class="failed">{_text(words.failed)}{why}</p>'


def _reactions(message: Message, words: Words) -> str:
    shown = ", ".join(
        f"{_text(reading.one_line(reaction.emoji))} "
        f"<bdi>{_text(reading.name_of(reaction.sender) or words.unknown)}</bdi>"
        for reaction in message.reactions
    )
    return f'<p class="reactions">{_text(words.reactions)}: {shown}</p>' if shown else ""


def _meta(message: Message, words: Words, options: Options) -> str:
    at = reading.local(message.timestamp, options.time_zone)
    parts = [
        escape(known)
        for known in (
            words.sources.get(message.sync_source),
            words.patterns.get(message.pattern or ""),
            words.edited.format(when=_short(message.edited_at, options)) if message.edited_at else None,
        )
        if known
    ]
    parts.append(f'<time datetime="{escape(message.timestamp)}">{clock(at, options.language)}</time>')
    if message.is_outbound and (ticks := _TICKS.get(message.status)):
        state = escape(words.states[message.status])
        seen = " read" if message.status in ("read", "played") else ""
        parts.append(
            f'<span class="ticks{seen}" title="{state}" aria-label="{state}" role="img">{ticks}</span>'
        )
    return f'<p class="meta">{" · ".join(parts)}</p>'


def _author(message: Message, words: Words) -> str:
    return reading.name_of(message.sender) or (words.you if message.is_outbound else words.unknown)


def _summary(message: Message, words: Words) -> str:
    """Give what a reply to this message quotes of it, on one line."""
    if message.revoked_at:
        return words.deleted
    # The whole of a long text would be held 5,000 times.
    said = reading.one_line(reading.words_of(message)[: 4 * _QUOTE_CHARS_MAX])
    kind = _media_kind(message, words) if message.is_media else ""
    summary = " · ".join(filter(None, (kind, reading.file_name(message), said))) or words.no_content
    return summary if len(summary) <= _QUOTE_CHARS_MAX else summary[: _QUOTE_CHARS_MAX - 1] + "…"


def _label(text: str) -> str:
    return f'<p class="label">{_text(text)}</p>'


def _raw_anchor(message_id: str) -> str:
    return f"m-{message_id}"


def _anchor(message_id: str) -> str:
    return escape(_raw_anchor(message_id))


def _short(timestamp: str, options: Options) -> str:
    return short(reading.local(timestamp, options.time_zone), options.language)


def _text(text: str) -> str:
    return escape(reading.printable(text))
