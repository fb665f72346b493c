"""EnrichmentService over gRPC: what each call means stands in protos/enrichment.proto."""

import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import grpc
from psycopg_pool import ConnectionPool

from enrichment_service import graph, profiles, store
from plumbing import errors, postgres
from plumbing.crypto import CannotOpen, Keyring
from plumbing.errors import FieldFault
from plumbing.rpc import calls
from protos import enrichment_pb2 as pb
from protos import enrichment_pb2_grpc

log = logging.getLogger(__name__)

FULL_NAME: Final = "recado.enrichment.v1.EnrichmentService"

_TOKEN_CHARS_MAX: Final = 4096
# Kept back from the caller's deadline for what follows the Graph API's answer.
_MARGIN_S: Final = 1.0


class EnrichmentServicer(enrichment_pb2_grpc.EnrichmentServiceServicer):
    def __init__(
        self,
        pool: ConnectionPool[Any],
        client: graph.Graph,
        keyring: Keyring,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._graph = client
        self._keyring = keyring
        self._clock = clock

    def StoreAccessToken(
        self, request: pb.StoreAccessTokenRequest, context: grpc.ServicerContext
    ) -> pb.StoreAccessTokenResponse:
        caller = calls.current().caller
        caller.require("instances:admin")
        if not caller.tenant:
            raise errors.PermissionDenied("the token names no tenant")
        instance_id = _uuid("instance_id", request.instance_id)
        if caller.instances is not None and str(instance_id) not in caller.instances:
            raise errors.NotFound("no such instance")
        token = request.access_token
        if not (0 < len(token) <= _TOKEN_CHARS_MAX and token.isascii() and token.isprintable()):
            raise _invalid("access_token", f"must be 1 to {_TOKEN_CHARS_MAX} printable ASCII characters")
        sealed = self._keyring.seal(token.encode(), aad=_purpose(caller.tenant, instance_id))
        postgres.run_transaction(
            self._pool,
            lambda conn: store.upsert_credential(
                conn,
                tenant=caller.tenant,
                instance_id=instance_id,
                sealed_token=sealed,
                key_id=self._keyring.sealing_key_id,
            ),
            timeout_s=calls.current().remaining_s(),
        )
        return pb.StoreAccessTokenResponse()

    def FetchContactProfile(
        self, request: pb.FetchContactProfileRequest, context: grpc.ServicerContext
    ) -> pb.ContactProfile:
        calls.current().caller.require("service")
        instance_id = _uuid("instance_id", request.instance_id) if request.instance_id else None
        now = self._clock()
        last_message_at = (
            request.known_last_message_at.ToDatetime(UTC)
            if request.HasField("known_last_message_at")
            else None
        )
        profile = profiles.known(name=request.known_name, last_message_at=last_message_at, now=now)
        if not request.wa_id:
            outcome = "no_number"
        elif instance_id is None or not request.phone_number_id:
            outcome = "no_access_token"
        else:
            outcome = self._ask(request, instance_id, profile, now)
        answer = pb.ContactProfile(
            name=profile.name,
            profile_picture_url=profile.picture_url,
            is_verified=profile.is_verified,
            status=profile.status,
            sources=profile.sources,
            graph_outcome=outcome,
        )
        if profile.last_seen_at:
            answer.last_seen_at.FromDatetime(profile.last_seen_at)
        return answer

    def _ask(
        self,
        request: pb.FetchContactProfileRequest,
        instance_id: uuid.UUID,
        profile: profiles.Profile,
        now: datetime,
    ) -> str:
        """Ask the Graph API and add its answer to `profile`; give the outcome."""
        key = {"tenant": request.tenant, "instance_id": instance_id}

        def look_up(conn: Any) -> tuple[str | None, bytes | None]:
            refusal = store.find_refusal(conn, **key, endpoint=profiles.ENDPOINT, now=now)
            return refusal, store.find_credential(conn, **key)

        refusal, sealed = postgres.run_read(self._pool, look_up, timeout_s=calls.current().remaining_s())
        if refusal:
            return refusal
        if sealed is None:
            return "no_access_token"
        try:
            token = self._keyring.open(sealed, aad=_purpose(request.tenant, instance_id)).decode()
        except CannotOpen:
            log.error("access_token_not_opened", extra={"instance_id": str(instance_id)})
            return "no_access_token"
        try:
            answer = self._graph.get(
                f"{request.phone_number_id}/{profiles.ENDPOINT}",
                {"wa_id": request.wa_id},
                access_token=token,
                timeout_s=max(0.1, calls.current().remaining_s() - _MARGIN_S),
            )
        except graph.GraphError as error:
            return self._refused(key, error, now)
        return "answered" if profiles.enriched(profile, answer) else self._remember(key, "refused", None, now)

    def _refused(self, key: dict[str, Any], error: graph.GraphError, now: datetime) -> str:
        log.info("graph_refused", extra={"code": error.code, "action": error.action.value})
        if error.action is graph.Action.RETRY:
            return "rate_limited" if error.is_rate_limit else "unavailable"
        if error.action is graph.Action.REAUTHENTICATE and error.code in (0, 190):
            return "token_invalid"
        return self._remember(key, "refused", error.code, now)

    def _remember(self, key: dict[str, Any], outcome: str, code: int | None, now: datetime) -> str:
        postgres.run_transaction(
            self._pool,
            lambda conn: store.upsert_refusal(
                conn,
                **key,
                endpoint=profiles.ENDPOINT,
                outcome=outcome,
                error_code=code,
                until_at=now + profiles.REFUSED_FOR,
            ),
            timeout_s=calls.current().remaining_s(),
        )
        return outcome


def register(server: grpc.Server, servicer: EnrichmentServicer) -> None:
    enrichment_pb2_grpc.add_EnrichmentServiceServicer_to_server(servicer, server)


def _purpose(tenant: str, instance_id: uuid.UUID) -> bytes:
    """What a sealed token is bound to: another tenant's or number's token does not open here."""
    return f"{tenant}\0{instance_id}".encode()


def _uuid(name: str, text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise _invalid(name, "must be a UUID") from None


def _invalid(name: str, reason: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(f"{name} {reason}", fields=(FieldFault(name, reason),))
