"""gRPC between processes: servers, clients, and the errors that cross between them."""

from typing import Final

# A batch of webhooks at Meta's largest (3 MiB each) fits, and so does the widest page of history.
MESSAGE_BYTES_MAX: Final = 40 * 1024 * 1024
# Carries the token, which may list instances, and on the way back the details of an error.
METADATA_BYTES_MAX: Final = 64 * 1024
