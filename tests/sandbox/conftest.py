from collections.abc import Iterator
from threading import Thread

import pytest

from tests.sandbox.gateway import Gateway


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    Thread(target=gateway.server.serve_forever, args=(0.05,), daemon=True).start()
    yield gateway
    gateway.server.shutdown()
    gateway.server.server_close()
