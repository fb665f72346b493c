"""The webhooks of `recado bench`: every one different, signed, and written to a file beforehand.

A file holds whole HTTP requests one after another, each behind its length in eight digits, so that a
generator of any kind (our own, wrk's Lua) only reads and sends. Beside it, `.ids` holds 16 bytes per
request: the id of the message it speaks of, for counting afterwards what arrived.
"""

import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Final

from protos import ids
from recado.sandbox import people, wire
from recado.sandbox.people import Business, Person
from recado.sandbox.sender import PATH
from recado.sandbox.wire import Object

LENGTH_DIGITS: Final = 8
ID_BYTES: Final = 16
# Mostly what people write; the business answers now and then, and every answer has statuses.
_SHARE_ECHO: Final = 0.10
_SHARE_STATUS: Final = 0.25
_STATES: Final = ("sent", "delivered", "read")
_RECENT_ECHOES_MAX: Final = 1000

_OPENINGS: Final = (
    "Oi, tudo bem?", "Bom dia!", "Boa tarde,", "Olá!", "Hi there,", "Oi de novo,", "Gente,", "Por favor,", "",
)  # fmt: skip
_MIDDLES: Final = (
    "vocês entregam no centro hoje?",
    "queria encomendar um bolo de {n} fatias para sábado à tarde",
    "qual o valor do pão de fermentação natural de {n} g?",
    "consegue separar {n} pães de queijo pra mim, passo aí depois das 17h",
    "is the order #{n} on its way?",
    "segue o comprovante do pedido {n}, qualquer coisa me avisa",
    "obrigada! ficou tudo lindo, já indiquei pra {n} amigas 😊",
    "o cupom AURORA{n} ainda vale?",
    "posso trocar o sabor do kit {n}? era morango e preferia chocolate",
    "ok",
    "👍",
)
_CLOSINGS: Final = ("", "", "", " Obrigado!", " 🙏", " Fico no aguardo.", " Thanks a lot!", " Pode ser?")


class Webhooks:
    """An endless, seeded sequence of webhooks of one number; `salt` sets one run apart from another."""

    def __init__(self, business: Business, *, seed: int, salt: str, contacts: int, starts_at_s: int) -> None:
        self._rng = wire.seeded("bench", seed, salt)
        self._business = business
        # The people are those of the seed, whoever runs it: they exist from the second run on.
        cast = wire.seeded("bench people", seed)
        self._people = [people.stranger(cast, seed % 100 * 100_000 + number) for number in range(contacts)]
        self._templates = [Templates(business, person) for person in self._people]
        self._echoes: deque[tuple[int, str, int]] = deque()
        self._starts_at_s = starts_at_s
        self._sent = 0

    @property
    def user_ids(self) -> list[str]:
        """Of the people who write."""
        return [person.user_id for person in self._people]

    def introductions(self) -> Iterator[tuple[str, bytes]]:
        """Yield a first message of every contact: (wamid, body)."""
        for number in range(len(self._people)):
            yield self._text(number)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Yield (wamid of the message it speaks of, body) without end."""
        rng = self._rng
        while True:
            draw = rng.random()
            if draw < _SHARE_STATUS and self._echoes:
                yield self._status()
            elif draw < _SHARE_STATUS + _SHARE_ECHO:
                yield self._echo(rng.randrange(len(self._people)))
            else:
                yield self._text(rng.randrange(len(self._people)))

    def _now_s(self) -> int:
        # One second of conversation per forty webhooks: times differ, and repeat as real ones do.
        self._sent += 1
        return self._starts_at_s + self._sent // 40

    def _text(self, number: int) -> tuple[str, bytes]:
        wamid = wire.new_wamid(self._rng, self._people[number], is_from_business=False)
        return wamid, self._templates[number].inbound.fill(wamid, self._now_s(), sentence(self._rng))

    def _echo(self, number: int) -> tuple[str, bytes]:
        wamid = wire.new_wamid(self._rng, self._people[number], is_from_business=True)
        if len(self._echoes) < _RECENT_ECHOES_MAX:
            self._echoes.append((number, wamid, 0))
        return wamid, self._templates[number].echo.fill(wamid, self._now_s(), sentence(self._rng))

    def _status(self) -> tuple[str, bytes]:
        number, wamid, step = self._echoes.popleft()
        if step + 1 < len(_STATES):
            self._echoes.append((number, wamid, step + 1))
        return wamid, self._templates[number].status.fill(wamid, self._now_s(), _STATES[step])


def sentence(rng: Random) -> str:
    """Make up a message of a customer, some 60 characters long, rarely the same twice."""
    middle = rng.choice(_MIDDLES).replace("{n}", str(rng.randrange(1, 10_000)))
    return f"{rng.choice(_OPENINGS)} {middle}{rng.choice(_CLOSINGS)}".strip()


class _Template:
    """A body that is encoded once and filled many times: encoding each would cost more than sending it."""

    def __init__(self, body: Object) -> None:
        before, between, after, end = (
            wire.encode(body).replace(b"@WAMID@", b"@TIME@").replace(b"@TEXT@", b"@TIME@").split(b"@TIME@")
        )
        self._parts = (before, between, after, end)

    def fill(self, wamid: str, timestamp_s: int, text: str) -> bytes:
        before, between, after, end = self._parts
        # Within its quotes: what it is put into has them.
        escaped = wire.encode(text)[1:-1]
        return b"".join((before, wamid.encode(), between, str(timestamp_s).encode(), after, escaped, end))


class Templates:
    """The three bodies of one contact, with wamid, time and text left open, in this order."""

    def __init__(self, business: Business, person: Person) -> None:
        named = wire.contact(person)
        holes: Object = {"id": "@WAMID@", "timestamp": "@TIME@"}

        def body(kind: str, item: Object, last: Object) -> _Template:
            ordered = {key: value for key, value in item.items() if key not in (*holes, *last)}
            told = wire.value(business, kind=kind, contacts=[named], items=[{**ordered, **holes, **last}])
            change: Object = {"field": wire.field_of(kind), "value": told}
            return _Template(wire.envelope([(business.waba_id, [change])]))

        text: Object = {"text": {"body": "@TEXT@"}}
        self.inbound = body(
            "messages", wire.inbound(person, wamid="", timestamp_s=0, kind="text", content={}), text
        )
        self.echo = body(
            "message_echoes",
            wire.echo(business, person, wamid="", timestamp_s=0, kind="text", content={}),
            text,
        )
        self.status = body(
            "statuses",
            wire.status(person, wamid="", timestamp_s=0, state="", details={}),
            {"status": "@TEXT@"},
        )


def request(body: bytes, app_secret: bytes) -> bytes:
    """Give the whole HTTP/1.1 request that delivers this body."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"{wire.SIGNATURE_HEADER}: {wire.signature(app_secret, body)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def ids_path(path: Path) -> Path:
    return path.with_suffix(".ids")


def write(
    path: Path,
    webhooks: Iterable[tuple[str, bytes]],
    *,
    app_secret: str,
    instance_id: uuid.UUID,
) -> int:
    """Write these (wamid, body) as signed requests, and the ids beside them; give how many."""
    secret, count = app_secret.encode(), 0
    with path.open("wb") as requests, ids_path(path).open("wb") as message_ids:
        for wamid, body in webhooks:
            whole = request(body, secret)
            requests.write(b"%0*d" % (LENGTH_DIGITS, len(whole)))
            requests.write(whole)
            message_ids.write(ids.message_id(instance_id, wamid).bytes)
            count += 1
    return count


def read(path: Path) -> Iterator[bytes]:
    """Yield the requests of a file, one at a time."""
    with path.open("rb") as requests:
        while head := requests.read(LENGTH_DIGITS):
            yield requests.read(int(head))


def read_ids(path: Path) -> list[uuid.UUID]:
    """Give the ids of the messages that the requests of a file speak of, in their order."""
    raw = ids_path(path).read_bytes()
    return [uuid.UUID(bytes=raw[start : start + ID_BYTES]) for start in range(0, len(raw), ID_BYTES)]
