"""What the writer and the readers of the feed of changes (table `changes`) agree on."""

from datetime import timedelta
from typing import Final

KEPT: Final = timedelta(hours=1)
"""The feed is that long. Who was away for longer reads anew what it shows."""
