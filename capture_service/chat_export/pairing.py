"""Which line of an exported chat stands for which message, of those that one side has said in one minute."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from capture_service.chat_export import likeness
from capture_service.chat_export.likeness import Known, Likeness, Said


class Pair(msgspec.Struct):
    """The message that a line stands for."""

    message: Known
    is_changed: bool = False
    """The line says what became of it: it was edited or deleted on the phone."""


class Pairs(msgspec.Struct):
    """What the lines stand for, by their place among the lines."""

    found: dict[int, Pair]
    doubled: list[Known]
    """What an earlier export made of lines that stand for messages which came by another route."""


def pair(lines: Sequence[Said], messages: Iterable[Known]) -> Pairs:
    """Say which line stands for which message; each for one at most, and the other way round.

    What came by other routes and what earlier exports brought are two sets, and a line may be in both.
    In each, what is surer is settled for all lines before anything vaguer is tried for one, so that it
    does not matter in which order lines or messages come.
    """
    told: list[Known] = []
    exported: list[Known] = []
    for message in messages:
        (exported if message.is_export else told).append(message)
    by_others = _Claims(lines, told)
    by_others.alike(likeness.WORDS)
    by_others.vaguely()
    by_exports = _Claims(lines, exported)
    by_exports.alike(likeness.SAME_LINE)
    by_exports.alike(likeness.WORDS)
    # Anything vaguer than its words is no reason to take a message out.
    doubled = [pair.message for number, pair in by_exports.found.items() if number in by_others.found]
    by_exports.open -= by_others.found.keys()
    by_exports.vaguely()
    return Pairs({**by_exports.found, **by_others.found}, doubled)


class _Claims:
    """Lines that claim messages, step by step."""

    def __init__(self, lines: Sequence[Said], messages: Iterable[Known]) -> None:
        self._lines = lines
        # What says something itself, before what an exported chat has filled.
        self._left = {
            message.id: message
            for message in sorted(messages, key=lambda message: (message.is_hollow, message.sent_at))
        }
        self.open = set(range(len(lines)))
        self.found: dict[int, Pair] = {}

    def alike(self, likeness: Likeness) -> None:
        """Let each line that is open claim the first message that is like it."""
        if not self._left or not self.open:
            return
        alike: dict[str, deque[Known]] = {}
        for message in self._left.values():
            for key in likeness.of_message(message):
                alike.setdefault(key, deque()).append(message)
        for number in sorted(self.open) if alike else ():
            for key in likeness.of_line(self._lines[number]):
                queue = alike.get(key)
                while queue and queue[0].id not in self._left:
                    queue.popleft()
                if queue:
                    self._claim(number, queue[0])
                    break

    def vaguely(self) -> None:
        """Let lines claim what is ever less like them, and at last what they can only be by their number."""
        if not self._left or not self.open:
            return
        for vaguer in likeness.VAGUER:
            self.alike(vaguer)
        self._what_became()
        self._hollow(lambda said: said.line.kind == "media", lambda message: message.is_media)
        self._hollow(lambda said: True, lambda message: not message.is_media)

    def _what_became(self) -> None:
        """Let lines that are deleted or edited stand for messages that no line is like.

        Where they are not as many, nobody can say which became which: then what is deleted, and so has no
        words to lose, is held to be known, and changes nothing.
        """
        lines = self._open(lambda said: said.line.kind == "deleted" or said.line.is_edited)
        messages = self._expected(lambda message: not message.is_hollow)
        is_clear = len(lines) == len(messages)
        if not is_clear:
            lines = [number for number in lines if self._lines[number].line.kind == "deleted"]
        for number, message in zip(lines, messages, strict=False):
            self._claim(number, message, is_changed=is_clear)

    def _hollow(self, is_line: Callable[[Said], bool], is_message: Callable[[Known], bool]) -> None:
        """Let lines stand for messages of which nothing is known, where there are enough of those.

        Of more lines than messages nobody can say which these are. The rest of a history may still tell.
        """
        lines = self._open(is_line)
        messages = self._expected(lambda message: message.is_hollow and is_message(message))
        if len(lines) <= len(messages):
            for number, message in zip(lines, messages, strict=False):
                self._claim(number, message)

    def _open(self, is_wanted: Callable[[Said], bool]) -> list[int]:
        return [number for number in sorted(self.open) if is_wanted(self._lines[number])]

    def _expected(self, is_wanted: Callable[[Known], bool]) -> list[Known]:
        return [message for message in self._left.values() if message.is_expected and is_wanted(message)]

    def _claim(self, number: int, message: Known, *, is_changed: bool = False) -> None:
        self.found[number] = Pair(message, is_changed)
        self.open.discard(number)
        del self._left[message.id]
