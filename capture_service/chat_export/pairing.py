"""Which line of an exported chat stands for which message, of those that one side has said in one minute."""

from collections import deque
from collections.abc import Iterable, Sequence, Set

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
    by_others.surely(by_others.open)
    sure = set(by_others.found)
    by_others.vaguely(by_others.open)
    by_exports = _Claims(lines, exported)
    # Where lines say the same, what an export made of one may be needed for another that it alone has:
    # those that are known by no other route come first.
    by_exports.surely(by_others.open)
    by_exports.surely(sure)
    by_exports.vaguely(by_others.open)
    by_exports.surely(by_others.found.keys() - sure)
    doubled = [pair.message for number, pair in by_exports.found.items() if number in by_others.found]
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

    def surely(self, among: Set[int]) -> None:
        """Let lines claim what they have made themselves, or what says the same."""
        for sure in (likeness.SAME_LINE, *likeness.SURE):
            self._alike(sure, among)

    def vaguely(self, among: Set[int]) -> None:
        """Let lines claim what is ever less like them, and at last what they can only be by their number."""
        if not self._left:
            return
        for vague in likeness.VAGUE:
            self._alike(vague, among)
        self._what_became(among)
        for doubtful in likeness.DOUBTFUL:
            self._alike(doubtful, among)
        self._hollow(among)

    def _alike(self, likeness: Likeness, among: Set[int]) -> None:
        """Let each line claim the first message that is like it."""
        lines = self._open(among)
        if not self._left or not lines:
            return
        alike: dict[str, deque[Known]] = {}
        for message in self._left.values():
            for key in likeness.of_message(message):
                alike.setdefault(key, deque()).append(message)
        for number in lines if alike else ():
            for key in likeness.of_line(self._lines[number]):
                queue = alike.get(key)
                while queue and queue[0].id not in self._left:
                    queue.popleft()
                if queue:
                    self._claim(number, queue[0])
                    break

    def _what_became(self, among: Set[int]) -> None:
        """Let lines that are deleted or edited stand for messages that no line is like.

        Where they are not as many, nobody can say which became which: then what is deleted, and so has no
        words to lose, is held to be known, and changes nothing. Nor does it ever take words away that came
        by another route than an export: a minute and a side are no proof of which were deleted.
        """
        lines = [
            number
            for number in self._open(among)
            if self._lines[number].line.kind == "deleted" or self._lines[number].line.is_edited
        ]
        messages = [
            message for message in self._left.values() if message.is_expected and not message.is_hollow
        ]
        is_clear = len(lines) == len(messages)
        if not is_clear:
            lines = [number for number in lines if self._lines[number].line.kind == "deleted"]
        for number, message in zip(lines, messages, strict=False):
            takes_words = self._lines[number].line.kind == "deleted" and not message.is_export
            self._claim(number, message, is_changed=is_clear and not takes_words)

    def _hollow(self, among: Set[int]) -> None:
        """Let lines stand for messages of which nothing is known, where there are enough of those.

        Of more lines than messages nobody can say which these are. The rest of a history may still tell.
        """
        for is_media in (True, False):
            lines = [
                number
                for number in self._open(among)
                if self._lines[number].line.kind == "media" or not is_media
            ]
            messages = [
                message
                for message in self._left.values()
                if message.is_expected and message.is_hollow and message.is_media == is_media
            ]
            if len(lines) <= len(messages):
                for number, message in zip(lines, messages, strict=False):
                    self._claim(number, message)

    def _open(self, among: Set[int]) -> list[int]:
        return sorted(self.open & among)

    def _claim(self, number: int, message: Known, *, is_changed: bool = False) -> None:
        self.found[number] = Pair(message, is_changed)
        self.open.discard(number)
        del self._left[message.id]
