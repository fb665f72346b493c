"""EnrichmentService over gRPC: what each call means stands in protos/enrichment.proto."""

import logging
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc

from enrichment_service import profiles, store
from enrichment_service.graph import Action, Graph, GraphError
from plumbing import errors, postgres
from plumbing.crypto import CannotOpen, Keyring
from plumbing.errors import FieldFault
from plumbing.rpc import calls
from protos import enrichment_pb2 as pb, enrichment_pb2_grpc

log = logging.getLogger(__name__)

FULL_NAME: Final = "recado.enrichment.v1.EnrichmentService"

_TOKEN_CHARS_MAX: Final = 4096
_TENANT_CHARS_MAX: Final = 256
_META_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_WA_ID: Final = re.compile(r"[0-9]{1,32}")

# Kept back from the caller's deadline, so that our answer arrives before it gives up; and while the
# Graph API is asked, also for writing down what it refused.
_MARGIN_S: Final = 0.1
_GRAPH_MARGIN_S: Final = 1.0

_REFUSED_FOR: Final = timedelta(days=1)
# Meta blocks apps that keep calling with a dead token; a new token ends the pause at once.
_TOKEN_INVALID_FOR: Final = timedelta(minutes=15)
_RATE_LIMITED_FOR: Final = timedelta(minutes=1)
# Codes of error that speak of the person asked for, not of what the number may ask: the next person
# may well be answered.
_ABOUT_THE_PERSON: Final = frozenset({131009, 131026, 131062})


@dataclass(frozen=True, slots=True)
class _Instance:
    tenant: str
    id: uuid.UUID

    @property
    def aad(self) -> bytes:
        """What a sealed token is bound to: another tenant's or number's token does not open here."""
        return f"{self.tenant}\0{self.id}".encode()


class EnrichmentServicer(enrichment_pb2_grpc.EnrichmentServiceServicer):
    def __init__(
        self,
        pool: postgres.ConnectionPool[Any],
        graph: Graph,
        keyring: Keyring,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._graph = graph
        self._keyring = keyring
        self._clock = clock

    def StoreAccessToken(
        self, request: pb.StoreAccessTokenRequest, context: grpc.ServicerContext
    ) -> pb.StoreAccessTokenResponse:
        caller = calls.current().caller
        caller.require("instances:admin")
        _check_tenant(caller.tenant)
        instance = _Instance(caller.tenant, _uuid("instance_id", request.instance_id))
        if caller.instances is not None and str(instance.id) not in caller.instances:
            raise errors.NotFound("no such instance")
        token = request.access_token
        # It travels in a header: anything else could not be sent.
        if not (0 < len(token) <= _TOKEN_CHARS_MAX and token.isascii() and token.isprintable()):
            raise _invalid("access_token", f"must be 1 to {_TOKEN_CHARS_MAX} printable ASCII characters")
        sealed = self._keyring.seal(token.encode(), aad=instance.aad)

        def work(conn: Any) -> None:
            store.upsert_credential(
                conn,
                tenant=instance.tenant,
                instance_id=instance.id,
                sealed_token=sealed,
                key_id=self._keyring.sealing_key_id,
                stored_at=self._clock(),
            )
            store.delete_refusals(conn, tenant=instance.tenant, instance_id=instance.id)

        postgres.run_transaction(self._pool, work, timeout_s=_remaining_s())
        log.info("access_token_stored", extra={"instance_id": str(instance.id)})
        return pb.StoreAccessTokenResponse()

    def FetchContactProfile(
        self, request: pb.FetchContactProfileRequest, context: grpc.ServicerContext
    ) -> pb.ContactProfile:
        calls.current().caller.require("service")
        _check_tenant(request.tenant)
        profile = profiles.known(
            name=request.known_name,
            last_message_at=request.known_last_message_at.ToDatetime(UTC)
            if request.HasField("known_last_message_at")
            else None,
            now=self._clock(),
        )
        if not _WA_ID.fullmatch(request.wa_id):
            return _answer(profile, "no_number")
        if not request.instance_id:
            return _answer(profile, "no_access_token")
        instance = _Instance(request.tenant, _uuid("instance_id", request.instance_id))
        if not _META_ID.fullmatch(request.phone_number_id):
            return _answer(profile, "no_such_number")
        return self._ask(instance, request.phone_number_id, request.wa_id, profile)

    def _ask(
        self, instance: _Instance, phone_number_id: str, wa_id: str, profile: profiles.Profile
    ) -> pb.ContactProfile:
        refusal, sealed_token = postgres.run_read(
            self._pool, lambda conn: self._look_up(conn, instance), timeout_s=_remaining_s()
        )
        if refusal:
            return _answer(profile, refusal)
        if sealed_token is None:
            return _answer(profile, "no_access_token")
        try:
            token = self._keyring.open(sealed_token, aad=instance.aad).decode()
        except CannotOpen:
            log.error("access_token_cannot_be_opened", extra={"instance_id": str(instance.id)})
            return _answer(profile, "token_invalid")
        try:
            answer = self._graph.get(
                phone_number_id,
                profiles.EDGE,
                {"wa_id": wa_id},
                access_token=token,
                timeout_s=_remaining_s(_GRAPH_MARGIN_S),
            )
        except GraphError as error:
            return _answer(profile, self._note_refusal(instance, error))
        if answer.rest_s:
            self._remember(instance, "rate_limited", code=None, duration=timedelta(seconds=answer.rest_s))
        contact = profiles.find_contact(answer.body, wa_id)
        if contact is None:
            self._remember(instance, "refused", code=None, duration=_REFUSED_FOR)
            return _answer(profile, "refused")
        return _answer(profiles.enrich(profile, contact), "answered")

    def _look_up(self, conn: Any, instance: _Instance) -> tuple[str | None, bytes | None]:
        """Give why not to ask (None: ask), and the sealed token."""
        refusal = store.find_refusal(
            conn,
            tenant=instance.tenant,
            instance_id=instance.id,
            endpoint=profiles.EDGE,
            now=self._clock(),
        )
        return refusal, store.find_credential(conn, tenant=instance.tenant, instance_id=instance.id)

    def _note_refusal(self, instance: _Instance, error: GraphError) -> str:
        """Give the outcome that an error amounts to, remembered where asking again would not help."""
        log.info(
            "graph_refused",
            extra={"instance_id": str(instance.id), "code": error.code, "action": error.action.value},
        )
        if error.is_rate_limit:
            rest = _RATE_LIMITED_FOR if error.rest_s is None else timedelta(seconds=error.rest_s)
            self._remember(instance, "rate_limited", code=error.code, duration=rest)
            return "rate_limited"
        if error.action is Action.RETRY:
            return "unavailable"
        # The other codes that ask for a new token speak of its rights: it is alive, and this is refused.
        if error.action is Action.REAUTHENTICATE and error.code in (0, 190, None):
            self._remember(instance, "token_invalid", code=error.code, duration=_TOKEN_INVALID_FOR)
            return "token_invalid"
        if error.code not in _ABOUT_THE_PERSON:
            self._remember(instance, "refused", code=error.code, duration=_REFUSED_FOR)
        return "refused"

    def _remember(self, instance: _Instance, outcome: str, *, code: int | None, duration: timedelta) -> None:
        postgres.run_transaction(
            self._pool,
            lambda conn: store.upsert_refusal(
                conn,
                tenant=instance.tenant,
                instance_id=instance.id,
                endpoint=profiles.EDGE,
                outcome=outcome,
                error_code=code,
                until_at=self._clock() + duration,
            ),
            timeout_s=_remaining_s(),
        )


def register(server: grpc.Server, servicer: EnrichmentServicer) -> None:
    enrichment_pb2_grpc.add_EnrichmentServiceServicer_to_server(servicer, server)  # pyright: ignore[reportUnknownMemberType] - generated, without types


def _answer(profile: profiles.Profile, outcome: str) -> pb.ContactProfile:
    answer = pb.ContactProfile(
        name=profile.name,
        profile_picture_url=profile.profile_picture_url,
        is_verified=profile.is_verified,
        status=profile.status,
        sources=profile.sources,
        graph_outcome=outcome,
    )
    if profile.last_seen_at:
        answer.last_seen_at.FromDatetime(profile.last_seen_at)
    return answer


def _remaining_s(margin_s: float = _MARGIN_S) -> float:
    remaining_s = calls.current().remaining_s() - margin_s
    if remaining_s <= 0:
        raise errors.DeadlineExceeded("no time left")
    return remaining_s


def _check_tenant(tenant: str) -> None:
    if not 0 < len(tenant) <= _TENANT_CHARS_MAX or "\0" in tenant:
        raise _invalid("tenant", f"must be 1 to {_TENANT_CHARS_MAX} characters")


def _uuid(name: str, text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise _invalid(name, "must be a UUID") from None


def _invalid(name: str, reason: str) -> errors.InvalidArgument:
    return errors.InvalidArgument("the request is not right", fields=(FieldFault(name, reason),))
