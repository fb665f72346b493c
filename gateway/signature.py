"""Whether a webhook is really Meta's."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from plumbing import errors

_PREFIX: Final = "sha256="
_HEX_DIGITS: Final = 64


def verify(app_secrets: Sequence[bytes], body: bytes, header: str | None) -> None:
    """Check that Meta signed this body; return nothing, raise otherwise.

    `body` is the request body byte for byte: parsed and serialised again, its signature no longer
    matches. `header` is X-Hub-Signature-256: "sha256=" then 64 hexadecimal digits. Any of the
    secrets may have signed: there are two while one replaces the other.

    Raises Unauthenticated when the header is missing, malformed or wrong, with one message for all
    three, so that a stranger learns nothing from it.

    Source: Meta, "Webhooks: Getting Started", Validating Payloads.
    """
    given = (header or "").removeprefix(_PREFIX)
    is_genuine = False
    for secret in app_secrets:
        expected = hmac.digest(secret, body, hashlib.sha256).hex()
        is_genuine |= hmac.compare_digest(expected.encode(), given.encode(errors="replace"))
    if not (is_genuine and header and header.startswith(_PREFIX) and len(given) == _HEX_DIGITS):
        raise errors.Unauthenticated("the signature does not verify")
