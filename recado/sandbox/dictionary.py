"""Train the ledger's dictionary: `python -m recado.sandbox.dictionary FILE`.

The ledger's bodies are small and much alike; a dictionary of what they share makes them smaller by an
order of magnitude. It is trained on the sandbox's traffic, which has the shapes of Meta's own, with
many businesses and people in it so that it learns the shapes and not the names. A dictionary that a
ledger has used is never replaced: a new one gets the next number in capture_service.ledger.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import zstandard

from recado.sandbox import traffic

SIZE_BYTES: Final = 32 * 1024
_SEEDS: Final = range(100, 160)
_MESSAGES: Final = 150
_UNTIL: Final = datetime(2026, 11, 1, tzinfo=UTC)


def samples() -> Iterator[bytes]:
    for seed in _SEEDS:
        for webhook in traffic.burst(seed, _UNTIL, messages=_MESSAGES):
            yield webhook.body


def main() -> None:
    dictionary = zstandard.train_dictionary(SIZE_BYTES, list(samples()))
    Path(sys.argv[1]).write_bytes(dictionary.as_bytes())


if __name__ == "__main__":
    main()
