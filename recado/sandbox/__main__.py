"""Meta's stand-in as a process: serves the Graph API, connects two numbers, sends webhooks."""

import logging
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from types import FrameType

from plumbing import settings as plumbing_settings, telemetry
from recado.sandbox import graph, registration, sender, settings, traffic

log = logging.getLogger(__name__)


def main() -> None:
    telemetry.configure_logging("sandbox")
    try:
        told = settings.load(os.environ)
    except plumbing_settings.SettingsError as error:
        sys.exit(str(error))
    stop = threading.Event()

    def finish(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, finish)
    host, _, port = told.listen.rpartition(":")
    server = graph.serve(graph.create_app(graph.State()), host, int(port))
    log.info("listening", extra={"port": server.server_port})
    try:
        _send(told, stop)
    except sender.Stopped:
        pass
    finally:
        server.shutdown()


def _send(told: settings.Settings, stop: threading.Event) -> None:
    registration.register(
        capture_address=told.capture_address,
        enrichment_address=told.enrichment_address,
        auth_secret=told.auth_secret,
        wait=stop.wait,
    )
    with sender.Sender(told.gateway_url, told.app_secret, wait=stop.wait) as meta:
        messages = 0
        for webhook in traffic.backlog(told.seed, datetime.now(UTC)):
            meta.deliver(webhook.body)
            messages += webhook.messages
        log.info("backlog_sent", extra={"messages": messages})
        for webhook in traffic.live(told.seed, datetime.now(UTC)):
            if stop.wait((webhook.due_at - datetime.now(UTC)).total_seconds()):
                return
            meta.deliver(webhook.body)


if __name__ == "__main__":
    main()
