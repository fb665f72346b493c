"""An empty Flask route, for `recado bench ingest` to compare with: what the server alone costs."""

import flask

app = flask.Flask(__name__)


@app.post("/webhooks/whatsapp")
def receive() -> tuple[str, int]:
    return "", 200
