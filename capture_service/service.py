"""CaptureService over gRPC: what each call means stands in protos/capture.proto."""

import contextlib
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc
import msgspec
from google.protobuf.json_format import MessageToJson, Parse
from google.protobuf.timestamp_pb2 import Timestamp

from capture_service import batches, fold, ids, imports, instances, merging, recovery, store
from capture_service.events import Fault
from capture_service.ingest import Ingest
from capture_service.sweep import Sweeper
from plumbing import errors, postgres
from plumbing.errors import FieldFault
from plumbing.rpc import calls
from plumbing.tokens import Caller
from protos import capture_pb2 as pb, capture_pb2_grpc, jobs
from protos.ids import uuid7

FULL_NAME: Final = "recado.capture.v1.CaptureService"

WEBHOOKS_PER_REQUEST_MAX: Final = 512
_PAGE_SIZE_DEFAULT: Final = 100
_PAGE_SIZE_MAX: Final = 1000
# Kept back from the caller's deadline, so that our answer arrives before it gives up.
_MARGIN_S: Final = 0.1
_FORMATS: Final = ("jsonl", "csv", "html", "txt")
_EXPORT_LEADS_MAX: Final = 10_000
# While the worker is at it, nobody hands the job over again.
_EXPORT_LEASE: Final = timedelta(minutes=5)
_STATES: Final = {
    "processed": pb.LEDGER_STATE_PROCESSED,
    "unrouted": pb.LEDGER_STATE_UNROUTED,
    "failed": pb.LEDGER_STATE_FAILED,
    "ignored": pb.LEDGER_STATE_IGNORED,
    "pending": pb.LEDGER_STATE_PENDING,
}
_STATE_NAMES: Final = {number: name for name, number in _STATES.items()}


class CaptureServicer(capture_pb2_grpc.CaptureServiceServicer):
    def __init__(
        self,
        pool: postgres.Pool,
        ingest: Ingest,
        sweeper: Sweeper,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._ingest = ingest
        self._sweeper = sweeper
        self._clock = clock

    def IngestWebhooks(
        self, request: pb.IngestWebhooksRequest, context: grpc.ServicerContext
    ) -> pb.IngestWebhooksResponse:
        calls.current().caller.require("service")
        if len(request.webhooks) > WEBHOOKS_PER_REQUEST_MAX:
            raise _invalid("webhooks", f"must be at most {WEBHOOKS_PER_REQUEST_MAX}")
        bodies = [
            (
                webhook.body,
                webhook.received_at.ToDatetime(UTC) if webhook.HasField("received_at") else self._clock(),
            )
            for webhook in request.webhooks
        ]
        verdicts = self._ingest.accept(bodies, timeout_s=_remaining_s()) if bodies else []
        return pb.IngestWebhooksResponse(
            verdicts=[pb.Verdict(batch_id=str(id), state=_STATES[state]) for id, state in verdicts]
        )

    def CreateInstance(self, request: pb.CreateInstanceRequest, context: grpc.ServicerContext) -> pb.Instance:
        caller = calls.current().caller
        caller.require("instances:admin")
        told = {
            "waba_id": (request.waba_id, 1, 64),
            "phone_number_id": (request.phone_number_id, 1, 64),
            "display_phone_number": (request.display_phone_number, 1, 32),
            "name": (request.name, 0, 200),
        }
        faults = [
            FieldFault(name, f"must be {shortest} to {longest} characters without U+0000")
            for name, (value, shortest, longest) in told.items()
            if not shortest <= len(value) <= longest or "\0" in value
        ]
        if faults:
            raise errors.InvalidArgument("the instance is not described rightly", fields=tuple(faults))

        def work(conn: postgres.Transaction) -> store.InstanceRow:
            store.insert_tenant(conn, caller.tenant)
            tenant_id = store.find_tenant(conn, caller.tenant)
            assert tenant_id is not None
            store.upsert_instance(
                conn,
                tenant_id=tenant_id,
                public_id=ids.instance_id(request.phone_number_id),
                name=request.name,
                waba_id=request.waba_id,
                phone_number_id=request.phone_number_id,
                display_phone_number=request.display_phone_number,
            )
            store.take_along_account_events(
                conn, tenant_id=tenant_id, phone_number_id=request.phone_number_id
            )
            instances.settle_connections(conn, tenant_id=tenant_id, account_id=request.waba_id)
            instance = next(
                row
                for row in store.list_instances(conn, tenant_id=tenant_id)
                if row.phone_number_id == request.phone_number_id
            )
            for kind, external_id, instance_id in (
                ("phone_number", request.phone_number_id, instance.id),
                ("waba", request.waba_id, None),
            ):
                owner = store.insert_route(
                    conn, kind=kind, external_id=external_id, tenant_id=tenant_id, instance_id=instance_id
                )
                if owner != tenant_id:
                    field = "phone_number_id" if kind == "phone_number" else "waba_id"
                    raise errors.AlreadyExists(
                        "registered by another tenant", fields=(FieldFault(field, "is taken"),)
                    )
            store.delete_idle_account_routes(conn, tenant_id=tenant_id)
            self._audit(conn, tenant_id, "instance.create")
            return instance

        if not caller.tenant:
            raise errors.PermissionDenied("the token names no tenant")
        instance = postgres.run_transaction(self._pool, work, timeout_s=_remaining_s())
        self._ingest.forget_routes()
        self._sweeper.number_registered()
        return _instance(instance)

    def ListInstances(
        self, request: pb.ListInstancesRequest, context: grpc.ServicerContext
    ) -> pb.ListInstancesResponse:
        caller = calls.current().caller
        if "instances:admin" not in caller.scopes:
            caller.require("history:read")

        def work(conn: postgres.Transaction) -> list[pb.Instance]:
            tenant_id = store.find_tenant(conn, caller.tenant)
            if tenant_id is None:
                return []
            histories = store.latest_histories(conn, tenant_id=tenant_id)
            return [
                _instance(row, histories.get(row.id))
                for row in store.list_instances(conn, tenant_id=tenant_id)
                if caller.instances is None or str(row.public_id) in caller.instances
            ]

        return pb.ListInstancesResponse(
            instances=postgres.run_read(self._pool, work, timeout_s=_remaining_s())
        )

    def ListAccountEvents(
        self, request: pb.ListAccountEventsRequest, context: grpc.ServicerContext
    ) -> pb.ListAccountEventsResponse:
        caller = calls.current().caller
        if "instances:admin" not in caller.scopes:
            caller.require("history:read")
        instance_id = _uuid("instance_id", request.instance_id)
        page_size = _page_size(request.page_size)
        before = _event_position(request.page_token)

        def work(conn: postgres.Transaction) -> pb.ListAccountEventsResponse:
            tenant_id = store.find_tenant(conn, caller.tenant)
            rows = store.list_instances(conn, tenant_id=tenant_id) if tenant_id else []
            instance = next(
                (
                    row
                    for row in rows
                    if row.public_id == instance_id
                    and (caller.instances is None or str(row.public_id) in caller.instances)
                ),
                None,
            )
            if tenant_id is None or instance is None:
                raise errors.NotFound("no such instance")
            concerned = store.Concerned(
                tenant_id,
                instance.id,
                instance.waba_id,
                instances.forms_of(instance),
                [form for row in rows if row.waba_id == instance.waba_id for form in instances.forms_of(row)],
            )
            rows = store.list_account_events(conn, concerned, before=before, count_max=page_size + 1)
            page = rows[:page_size]
            last = page[-1] if len(rows) > page_size else None
            return pb.ListAccountEventsResponse(
                events=[_account_event(row, instance, concerned) for row in page],
                next_page_token=f"{last.happened_at.isoformat()}_{last.id}" if last else "",
                total_size=store.count_account_events(conn, concerned),
            )

        return postgres.run_read(self._pool, work, timeout_s=_remaining_s())

    def ApplyWebhook(
        self, request: pb.ApplyWebhookRequest, context: grpc.ServicerContext
    ) -> pb.ApplyWebhookResponse:
        calls.current().caller.require("service")
        state, imported = recovery.apply_webhook(
            self._ingest,
            self._pool,
            tenant=request.tenant,
            batch_id=_uuid("batch_id", request.batch_id),
        )
        return pb.ApplyWebhookResponse(state=_STATES[state], messages_imported=imported)

    def GetBatch(self, request: pb.GetBatchRequest, context: grpc.ServicerContext) -> pb.Batch:
        caller = calls.current().caller
        if "instances:admin" not in caller.scopes:
            caller.require("history:read")
        batch_id = _uuid("batch_id", request.batch_id)

        def work(conn: postgres.Transaction) -> pb.Batch:
            tenant_id = store.find_tenant(conn, caller.tenant)
            row = store.find_batch(conn, tenant_id=tenant_id, id=batch_id) if tenant_id else None
            if row is None:
                raise errors.NotFound("no such batch")
            items = batches.describe(conn, row, instances=_granted(caller))
            if not items and caller.instances is not None:
                raise errors.NotFound("no such batch")
            self._audit(conn, row.tenant_id, "batch.read", count=len(items))
            # A fault may be of anybody's item.
            return _batch(row, items, shows_faults=caller.instances is None)

        return postgres.run_transaction(self._pool, work, timeout_s=_remaining_s())

    def MergeLeads(
        self, request: pb.MergeLeadsRequest, context: grpc.ServicerContext
    ) -> pb.MergeLeadsResponse:
        calls.current().caller.require("service")
        leads = _uuid("lead_id", request.lead_id), _uuid("other_lead_id", request.other_lead_id)
        survivor_id = merging.merge(
            self._pool,
            tenant=request.tenant,
            leads=leads,
            outbox_id=_uuid("outbox_id", request.outbox_id) if request.outbox_id else None,
            now=self._clock(),
        )
        self._sweeper.wake()
        return pb.MergeLeadsResponse(lead_id=str(survivor_id))

    def ListLeadMerges(
        self, request: pb.ListLeadMergesRequest, context: grpc.ServicerContext
    ) -> pb.ListLeadMergesResponse:
        caller = calls.current().caller
        if "leads:write" not in caller.scopes:
            caller.require("history:read")
        lead_id = _uuid("lead_id", request.lead_id)

        def work(conn: postgres.Transaction) -> list[store.LeadMergeRow]:
            tenant_id = self._tenant_of_lead(conn, lead_id)
            found = store.list_lead_merges(conn, tenant_id=tenant_id, survivor_id=lead_id)
            self._audit(conn, tenant_id, "merges.read", lead_id, count=len(found))
            return found

        rows = postgres.run_transaction(self._pool, work, timeout_s=_remaining_s())
        return pb.ListLeadMergesResponse(merges=[_lead_merge(row) for row in rows])

    def UndoLeadMerge(self, request: pb.UndoLeadMergeRequest, context: grpc.ServicerContext) -> pb.LeadMerge:
        caller = calls.current().caller
        caller.require("leads:write")
        lead_id = _uuid("lead_id", request.lead_id)
        merge_id = _uuid("merge_id", request.merge_id)
        postgres.run_read(
            self._pool, lambda conn: self._tenant_of_lead(conn, lead_id), timeout_s=_remaining_s()
        )
        parted = merging.undo(
            self._pool,
            tenant=caller.tenant,
            survivor_id=lead_id,
            merge_id=merge_id,
            now=self._clock(),
            requested_by=caller.subject,
        )
        self._sweeper.wake()

        def work(conn: postgres.Transaction) -> store.LeadMergeRow:
            tenant_id = self._tenant_of_lead(conn, lead_id)
            rows = store.list_lead_merges(conn, tenant_id=tenant_id, survivor_id=lead_id)
            self._audit(conn, tenant_id, "merge.undo", lead_id)
            return next(row for row in rows if row.id == merge_id)

        merge = _lead_merge(postgres.run_transaction(self._pool, work, timeout_s=_remaining_s()))
        merge.sync_id = str(parted.sync_id or "")
        return merge

    def ListSyncs(self, request: pb.ListSyncsRequest, context: grpc.ServicerContext) -> pb.ListSyncsResponse:
        caller = calls.current().caller
        if "history:sync" not in caller.scopes:
            caller.require("history:read")
        lead_id = _uuid("lead_id", request.lead_id)
        page_size = _page_size(request.page_size)
        before = _uuid("page_token", request.page_token) if request.page_token else None

        def work(conn: postgres.Transaction) -> pb.ListSyncsResponse:
            tenant_id = self._tenant_of_lead(conn, lead_id)
            granted = _granted(caller)
            rows = store.list_syncs(
                conn,
                tenant_id=tenant_id,
                lead_id=lead_id,
                instances=granted,
                before=before,
                count_max=page_size + 1,
            )
            page = rows[:page_size]
            self._audit(conn, tenant_id, "syncs.read", lead_id, count=len(page))
            return pb.ListSyncsResponse(
                syncs=[_sync(row) for row in page],
                next_page_token=str(page[-1].id) if len(rows) > page_size else "",
                total_size=store.count_syncs(conn, tenant_id=tenant_id, lead_id=lead_id, instances=granted),
            )

        return postgres.run_transaction(self._pool, work, timeout_s=_remaining_s())

    def ListTickets(
        self, request: pb.ListTicketsRequest, context: grpc.ServicerContext
    ) -> pb.ListTicketsResponse:
        calls.current().caller.require("history:read")
        lead_id = _uuid("lead_id", request.lead_id)
        page_size = _page_size(request.page_size)
        before = _uuid("page_token", request.page_token) if request.page_token else None

        def work(conn: postgres.Transaction) -> pb.ListTicketsResponse:
            tenant_id, survivor_id = self._survivor(conn, lead_id)
            rows = store.list_tickets(
                conn, tenant_id=tenant_id, lead_id=survivor_id, before=before, count_max=page_size + 1
            )
            page = rows[:page_size]
            self._audit(conn, tenant_id, "tickets.read", survivor_id, count=len(page))
            return pb.ListTicketsResponse(
                tickets=[_ticket(row) for row in page],
                next_page_token=str(page[-1].id) if len(rows) > page_size else "",
                total_size=store.count_tickets(conn, tenant_id=tenant_id, lead_id=survivor_id),
            )

        return postgres.run_transaction(self._pool, work, timeout_s=_remaining_s())

    def CloseTicket(self, request: pb.CloseTicketRequest, context: grpc.ServicerContext) -> pb.Ticket:
        return self._set_ticket(request.ticket_id, is_closed=True)

    def ReopenTicket(self, request: pb.ReopenTicketRequest, context: grpc.ServicerContext) -> pb.Ticket:
        return self._set_ticket(request.ticket_id, is_closed=False)

    def _set_ticket(self, ticket: str, *, is_closed: bool) -> pb.Ticket:
        caller = calls.current().caller
        caller.require("leads:write")
        ticket_id = _uuid("ticket_id", ticket)

        def work(conn: postgres.Transaction) -> store.TicketRow:
            tenant_id = store.find_tenant(conn, caller.tenant)
            found = tenant_id and store.find_lead_of_ticket(conn, tenant_id=tenant_id, id=ticket_id)
            if not tenant_id or not found:
                raise errors.NotFound("no such ticket")
            self._tenant_of_lead(conn, found)
            # What the lead writes meanwhile waits for this row, and sees which ticket is open.
            lead_id = store.lock_survivor(conn, tenant_id=tenant_id, lead_id=found)
            row = lead_id and store.find_ticket(conn, tenant_id=tenant_id, lead_id=lead_id, id=ticket_id)
            if not row:
                raise postgres.Retry
            if (row.closed_at is not None) == is_closed:
                return row
            if not is_closed and store.find_open_ticket(conn, tenant_id=tenant_id, lead_id=row.lead_id):
                raise errors.FailedPrecondition("another ticket of this lead is open")
            at = self._clock() if is_closed else None
            store.set_ticket_closed(conn, tenant_id=tenant_id, lead_id=row.lead_id, id=row.id, at=at)
            store.insert_changes(conn, [store.LeadTouch(tenant_id, row.lead_id, [], True)])
            self._audit(conn, tenant_id, "ticket.close" if is_closed else "ticket.reopen", row.lead_id)
            return row._replace(closed_at=at)

        return _ticket(postgres.run_transaction(self._pool, work, timeout_s=_remaining_s()))

    def StartSync(self, request: pb.StartSyncRequest, context: grpc.ServicerContext) -> pb.SyncLog:
        caller = calls.current().caller
        caller.require("history:sync")
        lead_id = _uuid("lead_id", request.lead_id)

        def work(conn: postgres.Transaction) -> store.SyncLogRow:
            tenant_id = self._tenant_of_lead(conn, lead_id)
            sync = store.insert_recovery(
                conn,
                tenant_id=tenant_id,
                id=uuid7(self._clock()),
                lead_id=lead_id,
                requested_by=caller.subject,
            )
            if sync is None:
                running = store.find_running_recovery(conn, tenant_id=tenant_id, lead_id=lead_id)
                if running is None:
                    raise postgres.Retry  # it ended between the two statements
                return running
            arguments = {"tenant": caller.tenant, "sync_id": str(sync.id)}
            store.insert_outbox_rows(
                conn, [store.OutboxRow(tenant_id, sync.id, jobs.RUN_SYNC.name, arguments)]
            )
            self._audit(conn, tenant_id, "sync.start", lead_id)
            return sync

        sync = postgres.run_transaction(self._pool, work, timeout_s=_remaining_s())
        self._sweeper.wake()
        return _sync(sync)

    def ImportChat(self, request: pb.ImportChatRequest, context: grpc.ServicerContext) -> pb.SyncLog:
        caller = calls.current().caller
        caller.require("leads:write")
        lead_id = _uuid("lead_id", request.lead_id)
        instance_id = _uuid("instance_id", request.instance_id) if request.instance_id else None
        if request.date_order not in ("", "dmy", "mdy", "ymd"):
            raise _invalid("date_order", "must be dmy, mdy or ymd")
        postgres.run_read(
            self._pool, lambda conn: self._tenant_of_lead(conn, lead_id), timeout_s=_remaining_s()
        )
        how = imports.Request(
            business=request.business_participant,
            time_zone=request.time_zone,
            date_order=request.date_order or None,  # pyright: ignore[reportArgumentType] - checked above
        )
        brought = imports.read(request.file, how)
        sync_id = uuid7(self._clock())

        def work(conn: postgres.Transaction) -> pb.SyncLog:
            tenant_id = self._tenant_of_lead(conn, lead_id)
            target = self._import_target(conn, tenant_id, lead_id, instance_id)
            _, report = imports.prepare(conn, brought, target=target, sync_id=sync_id)
            if request.is_dry_run:
                return pb.SyncLog(
                    lead_id=str(lead_id),
                    sync_type="chat_export",
                    status="completed",
                    step="dry_run",
                    percent=100,
                    instance_id=str(target.instance_public_id),
                    detail_json=fold.document(report),
                )
            sync = store.insert_import(
                conn,
                tenant_id=tenant_id,
                id=sync_id,
                lead_id=lead_id,
                instance_id=target.instance_id,
                requested_by=caller.subject,
                row=store.ImportRow(
                    request=fold.document(how),
                    media_names=brought.media_names,
                    text=imports.keep(brought.text),
                ),
            )
            arguments = {"tenant": caller.tenant, "sync_id": str(sync.id)}
            store.insert_outbox_rows(
                conn, [store.OutboxRow(tenant_id, sync.id, jobs.RUN_SYNC.name, arguments)]
            )
            self._audit(conn, tenant_id, "chat.import", lead_id, count=report["new"])
            return _sync(sync)

        sync = postgres.run_transaction(self._pool, work, timeout_s=_remaining_s())
        self._sweeper.wake()
        return sync

    def _import_target(
        self, conn: postgres.Transaction, tenant_id: int, lead_id: uuid.UUID, instance_id: uuid.UUID | None
    ) -> store.ImportTarget:
        """Give the conversation that a chat belongs to. Raises InvalidArgument, NotFound."""
        granted = _granted(calls.current().caller)
        visible = {
            row.public_id: row.id
            for row in store.list_instances(conn, tenant_id=tenant_id)
            if granted is None or row.public_id in granted
        }
        if instance_id is not None and instance_id not in visible:
            raise errors.NotFound("no such instance")
        if instance_id is not None:
            chosen = visible[instance_id]
        else:
            talking = [
                found
                for found in store.instances_of_lead(conn, tenant_id=tenant_id, lead_id=lead_id)
                if found in visible.values()
            ]
            if len(talking) != 1:
                raise _invalid("instance_id", f"is required: the lead talks to {len(talking)} numbers")
            [chosen] = talking
        target = store.find_import_target(conn, tenant_id=tenant_id, lead_id=lead_id, instance_id=chosen)
        if target is None:
            raise errors.NotFound("no such lead")
        return target

    def GetSync(self, request: pb.GetSyncRequest, context: grpc.ServicerContext) -> pb.SyncLog:
        caller = calls.current().caller
        if "history:sync" not in caller.scopes:
            caller.require("history:read")
        sync_id = _uuid("sync_id", request.sync_id)

        def work(conn: postgres.Transaction) -> store.SyncLogRow:
            tenant_id = store.find_tenant(conn, caller.tenant)
            sync = store.find_sync(conn, tenant_id=tenant_id, id=sync_id) if tenant_id is not None else None
            if sync is None or sync.lead_id is None:
                raise errors.NotFound("no such sync")
            self._tenant_of_lead(conn, sync.lead_id)
            granted = _granted(caller)
            if sync.instance_public_id and granted is not None and sync.instance_public_id not in granted:
                raise errors.NotFound("no such sync")
            return sync

        return _sync(postgres.run_read(self._pool, work, timeout_s=_remaining_s()))

    def RunSync(self, request: pb.RunSyncRequest, context: grpc.ServicerContext) -> pb.SyncLog:
        calls.current().caller.require("service")
        return _sync(
            recovery.run_sync(
                self._ingest,
                self._pool,
                tenant=request.tenant,
                sync_id=_uuid("sync_id", request.sync_id),
                clock=self._clock,
            )
        )

    def ListWebhookFailures(
        self, request: pb.ListWebhookFailuresRequest, context: grpc.ServicerContext
    ) -> pb.ListWebhookFailuresResponse:
        caller = calls.current().caller
        sees_all = "service" in caller.scopes
        if not sees_all:
            caller.require("instances:admin")
        page_size = _page_size(request.page_size)
        before = _failure_position(request.page_token)

        def work(conn: postgres.Transaction) -> tuple[list[store.FailureRow], int]:
            tenant_id = None if sees_all else store.find_tenant(conn, caller.tenant) or store.NO_TENANT
            rows = store.list_failures(conn, tenant_id=tenant_id, before=before, count_max=page_size + 1)
            return rows, store.count_failures(conn, tenant_id=tenant_id)

        rows, total = postgres.run_read(self._pool, work, timeout_s=_remaining_s())
        page = rows[:page_size]
        return pb.ListWebhookFailuresResponse(
            failures=[
                pb.WebhookFailure(
                    batch_id=str(row.id),
                    received_at=_timestamp(row.received_at),
                    attempts=row.attempts,
                    body_bytes=row.body_bytes,
                    faults=[
                        pb.ItemFault(path=fault.path, reason=fault.reason) for fault in _faults(row.error)
                    ],
                )
                for row in page
            ],
            next_page_token=f"{page[-1].id}_{page[-1].tenant_id}" if len(rows) > page_size else "",
            total_size=total,
        )

    def ReplayWebhooks(
        self, request: pb.ReplayWebhooksRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReplayProgress]:
        caller = calls.current().caller
        is_service = "service" in caller.scopes
        if not is_service:
            caller.require("instances:admin")
        tenant = request.tenant if is_service else caller.tenant
        states = sorted({_STATE_NAMES[state] for state in request.states if state in _STATE_NAMES})
        tenant_id = None
        if tenant:
            tenant_id = postgres.run_read(
                self._pool, lambda conn: store.find_tenant(conn, tenant), timeout_s=_remaining_s()
            )
        if tenant_id is None and (tenant or not is_service):
            if is_service:
                raise errors.NotFound("no such tenant", fields=(FieldFault("tenant", "is not known"),))
            yield pb.ReplayProgress()
            return
        account = self._account_of(request.phone_number_id, tenant_id) if request.phone_number_id else None
        now = self._clock()
        rows = store.LedgerFilter(
            tenant_id=tenant_id,
            states=states or None,
            from_time=request.from_time.ToDatetime(UTC) if request.HasField("from_time") else None,
            to_time=min(now, request.to_time.ToDatetime(UTC)) if request.HasField("to_time") else now,
            parser_version_below=request.parser_version_below or None,
            mentions=request.phone_number_id or None,
            account=account,
        )
        if tenant_id is not None and not is_service:
            asker = tenant_id
            postgres.run_transaction(
                self._pool,
                lambda conn: self._audit(conn, asker, "webhooks.replay"),
                timeout_s=_remaining_s(),
            )
        if tenant:
            recovery.apply_unrouted(self._ingest, self._pool, tenant)
        progress = recovery.Progress()
        for progress in recovery.replay(self._ingest, self._pool, rows):
            if not context.is_active():
                return
            yield _progress(progress)
        if not progress.webhooks_done:
            yield _progress(progress)

    def _account_of(self, phone_number_id: str, tenant_id: int | None) -> str:
        """Name the WABA of a number that is registered, by that tenant if one is named."""
        key = ("phone_number", phone_number_id)
        routes = postgres.run_read(
            self._pool, lambda conn: store.find_routes(conn, [key]), timeout_s=_remaining_s()
        )
        route = routes.get(key)
        if route is None or route.instance is None or tenant_id not in (None, route.tenant_id):
            raise errors.NotFound(
                "no such number", fields=(FieldFault("phone_number_id", "is not registered"),)
            )
        return route.instance.waba_id

    def CreateExport(self, request: pb.CreateExportRequest, context: grpc.ServicerContext) -> pb.Export:
        caller = calls.current().caller
        caller.require("history:read")
        faults = [
            FieldFault(name, reason)
            for name, reason, is_wrong in (
                ("format", "must be jsonl, csv, html or txt", request.format not in _FORMATS),
                ("language", "must be en or pt-BR", request.language not in ("en", "pt-BR")),
                ("time_zone", "is no time zone", not imports.is_zone(request.time_zone or "UTC")),
                ("lead_ids", "too many", len(request.lead_ids) > _EXPORT_LEADS_MAX),
            )
            if is_wrong
        ]
        if faults:
            raise errors.InvalidArgument("the export is not described rightly", fields=tuple(faults))
        lead_ids = {_uuid("lead_ids", lead_id) for lead_id in request.lead_ids}
        instance_id = _uuid("instance_id", request.instance_id) if request.instance_id else None
        export_id = uuid7(self._clock())

        def work(conn: postgres.Transaction) -> store.ExportRow:
            tenant_id = store.find_tenant(conn, caller.tenant)
            if tenant_id is None:
                raise errors.NotFound("there is nothing to export")
            granted = _granted(caller)
            known = store.visible_leads(conn, tenant_id=tenant_id, lead_ids=list(lead_ids), instances=granted)
            if lead_ids - known:
                raise errors.NotFound("no such lead")
            numbers = {row.public_id for row in store.list_instances(conn, tenant_id=tenant_id)}
            if instance_id and (
                instance_id not in numbers or (granted is not None and instance_id not in granted)
            ):
                raise errors.NotFound("no such instance")
            store.insert_export(
                conn,
                tenant_id=tenant_id,
                id=export_id,
                requested_by=caller.subject,
                instances=granted,
                request=MessageToJson(request),
            )
            arguments = {"tenant": caller.tenant, "export_id": str(export_id)}
            store.insert_outbox_rows(
                conn, [store.OutboxRow(tenant_id, export_id, jobs.EXPORT_LEADS.name, arguments)]
            )
            self._audit(conn, tenant_id, "export.create", count=len(request.lead_ids))
            row = store.find_export(conn, tenant_id=tenant_id, id=export_id)
            assert row is not None
            return row

        export = _export(postgres.run_transaction(self._pool, work, timeout_s=_remaining_s()))
        self._sweeper.wake()
        return export

    def GetExport(self, request: pb.GetExportRequest, context: grpc.ServicerContext) -> pb.Export:
        caller = calls.current().caller
        caller.require("history:read")
        row = self._find_export(caller.tenant, _uuid("export_id", request.export_id))
        # It holds what the one who asked for it could see then, and may see now.
        granted = _granted(caller)
        is_within = granted is None or (row.instances is not None and set(granted) >= set(row.instances))
        if row.requested_by != caller.subject or not is_within:
            raise errors.NotFound("no such export")
        if request.is_download and row.status == "completed":
            postgres.run_transaction(
                self._pool,
                lambda conn: self._audit(conn, row.tenant_id, "export.download", count=row.leads_done),
                timeout_s=_remaining_s(),
            )
        return _export(row)

    def GetExportWork(self, request: pb.GetExportWorkRequest, context: grpc.ServicerContext) -> pb.ExportWork:
        calls.current().caller.require("service")
        row = self._find_export(request.tenant, _uuid("export_id", request.export_id))
        return pb.ExportWork(
            export=_export(row),
            request=Parse(row.request, pb.CreateExportRequest()),
            requested_by=row.requested_by,
            instance_ids=[str(id) for id in row.instances or ()],
            is_limited=row.instances is not None,
        )

    def UpdateExport(self, request: pb.UpdateExportRequest, context: grpc.ServicerContext) -> pb.Export:
        calls.current().caller.require("service")
        export_id = _uuid("export_id", request.export_id)
        if request.status not in ("in_progress", "completed", "failed"):
            raise _invalid("status", "must be in_progress, completed or failed")

        def work(conn: postgres.Transaction) -> None:
            tenant_id = store.find_tenant(conn, request.tenant)
            if tenant_id is None:
                raise errors.NotFound("no such export")
            store.update_export(
                conn,
                tenant_id=tenant_id,
                id=export_id,
                status=request.status,
                leads_done=request.leads_done,
                leads_total=request.leads_total,
                file_bytes=request.file_bytes,
                error=request.error_message or None,
                at=self._clock(),
            )
            if request.status == "in_progress":
                store.postpone_outbox_row(conn, tenant_id=tenant_id, id=export_id, by=_EXPORT_LEASE)
            else:
                store.delete_outbox_row(conn, tenant_id=tenant_id, id=export_id)

        postgres.run_transaction(self._pool, work, timeout_s=_remaining_s())
        return _export(self._find_export(request.tenant, export_id))

    def _find_export(self, tenant: str, export_id: uuid.UUID) -> store.ExportRow:
        def work(conn: postgres.Transaction) -> store.ExportRow | None:
            tenant_id = store.find_tenant(conn, tenant)
            return store.find_export(conn, tenant_id=tenant_id, id=export_id) if tenant_id else None

        row = postgres.run_read(self._pool, work, timeout_s=_remaining_s())
        if row is None:
            raise errors.NotFound("no such export")
        return row

    def GetLeadProfile(
        self, request: pb.GetLeadProfileRequest, context: grpc.ServicerContext
    ) -> pb.LeadProfile:
        calls.current().caller.require("service")
        lead_id = _uuid("lead_id", request.lead_id)
        return _profile(
            postgres.run_read(
                self._pool,
                lambda conn: _lead_profile(conn, request.tenant, lead_id),
                timeout_s=_remaining_s(),
            )
        )

    def ApplyLeadProfile(
        self, request: pb.ApplyLeadProfileRequest, context: grpc.ServicerContext
    ) -> pb.LeadProfile:
        calls.current().caller.require("service")
        lead_id = _uuid("lead_id", request.lead_id)
        outbox_id = _uuid("outbox_id", request.outbox_id) if request.outbox_id else None
        sources = _json_object("sources_json", request.sources_json)
        profile: dict[str, object] = {
            # What webhooks say is on the row, and may have been taken back since.
            "name": (request.name or None) if sources.get("name") != "webhook" else None,
            "profilePictureUrl": request.profile_picture_url or None,
            "verified": request.is_verified if request.HasField("is_verified") else None,
            "lastSeen": request.last_seen_at.ToDatetime(UTC) if request.HasField("last_seen_at") else None,
            "status": request.status or None,
            "sources": sources,
            **({"number": request.wa_id or None} if request.HasField("wa_id") else {}),
        }

        def work(conn: postgres.Transaction) -> store.LeadProfileRow | None:
            tenant_id = store.find_tenant(conn, request.tenant)
            if tenant_id is None:
                return None
            shown_as = store.lock_survivor(conn, tenant_id=tenant_id, lead_id=lead_id)
            lead = shown_as and store.find_lead_profile(conn, tenant_id=tenant_id, lead_id=shown_as)
            if lead and request.HasField("wa_id") and request.wa_id != (lead.wa_id or ""):
                # The outbox hands the job over again, and the one that it is then is asked about.
                raise errors.FailedPrecondition("the lead's number is another by now")
            # Also when the lead is gone: its job has nothing left to do.
            if outbox_id:
                store.delete_outbox_row(conn, tenant_id=tenant_id, id=outbox_id)
                store.update_sync(conn, tenant_id=tenant_id, id=outbox_id, status="completed", percent=100)
            if lead:
                store.update_lead_profile(
                    conn, tenant_id=tenant_id, lead_id=lead.id, profile=msgspec.json.encode(profile).decode()
                )
                store.insert_changes(conn, [store.LeadTouch(tenant_id, lead.id, [], True)])
            return lead or None

        lead = postgres.run_transaction(self._pool, work, timeout_s=_remaining_s())
        if lead is None:
            raise errors.NotFound("no such lead")
        return _profile(lead)

    def _audit(
        self,
        conn: postgres.Transaction,
        tenant_id: int,
        action: str,
        lead_id: uuid.UUID | None = None,
        *,
        count: int = 1,
    ) -> None:
        """Note in this transaction what the caller does or reads."""
        call, now = calls.current(), self._clock()
        store.insert_audit(
            conn,
            tenant_id=tenant_id,
            id=uuid7(now),
            at=now,
            subject=call.caller.subject,
            action=action,
            lead_id=lead_id,
            count=count,
            request_id=call.request_id,
        )

    def _survivor(self, conn: postgres.Transaction, lead_id: uuid.UUID) -> tuple[int, uuid.UUID]:
        """Give the caller's tenant, and the lead that this one is by now, as in `_tenant_of_lead`."""
        tenant_id = store.find_tenant(conn, calls.current().caller.tenant)
        survivor_id = tenant_id and store.find_survivor(conn, tenant_id=tenant_id, lead_id=lead_id)
        return self._tenant_of_lead(conn, survivor_id or lead_id), survivor_id or lead_id

    def _tenant_of_lead(self, conn: postgres.Transaction, lead_id: uuid.UUID) -> int:
        """Give the caller's tenant when it may know of this lead. Raises NotFound otherwise."""
        caller = calls.current().caller
        tenant_id = store.find_tenant(conn, caller.tenant)
        if tenant_id is None or not store.is_lead_visible(
            conn, tenant_id=tenant_id, lead_id=lead_id, instances=_granted(caller)
        ):
            raise errors.NotFound("no such lead")
        return tenant_id


def register(server: grpc.Server, servicer: CaptureServicer) -> None:
    capture_pb2_grpc.add_CaptureServiceServicer_to_server(servicer, server)  # pyright: ignore[reportUnknownMemberType]


def _lead_profile(conn: postgres.Transaction, tenant: str, lead_id: uuid.UUID) -> store.LeadProfileRow:
    tenant_id = store.find_tenant(conn, tenant)
    row = (
        store.find_lead_profile(conn, tenant_id=tenant_id, lead_id=lead_id) if tenant_id is not None else None
    )
    if row is None:
        raise errors.NotFound("no such lead")
    return row


def _remaining_s() -> float:
    remaining_s = calls.current().remaining_s() - _MARGIN_S
    if remaining_s <= 0:
        raise errors.DeadlineExceeded("no time left")
    return remaining_s


def _page_size(asked: int) -> int:
    """Give how many rows a page has: what is beyond the most is the most (AIP-158)."""
    if asked < 0:
        raise _invalid("page_size", "must not be negative")
    return min(asked or _PAGE_SIZE_DEFAULT, _PAGE_SIZE_MAX)


def _event_position(page_token: str) -> tuple[datetime, uuid.UUID] | None:
    if not page_token:
        return None
    at, _, id = page_token.partition("_")
    try:
        position = datetime.fromisoformat(at), uuid.UUID(id)
    except ValueError:
        raise _invalid("page_token", "is not of this list") from None
    if position[0].tzinfo is None:
        raise _invalid("page_token", "is not of this list")
    return position


def _failure_position(page_token: str) -> tuple[uuid.UUID, int] | None:
    if not page_token:
        return None
    id, _, owner = page_token.partition("_")
    if not re.fullmatch("[0-9]{1,9}", owner):
        raise _invalid("page_token", "is not of this list")
    return _uuid("page_token", id), int(owner)


def _granted(caller: Caller) -> list[uuid.UUID] | None:
    """List the instances that a token is limited to; what is no UUID is the id of none. None is all."""
    if caller.instances is None:
        return None
    found: list[uuid.UUID] = []
    for text in caller.instances:
        with contextlib.suppress(ValueError):
            found.append(uuid.UUID(text))
    return found


def _uuid(name: str, text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise _invalid(name, "must be a UUID") from None


def _invalid(name: str, reason: str) -> errors.InvalidArgument:
    return errors.InvalidArgument("the request is not right", fields=(FieldFault(name, reason),))


def _json_object(name: str, text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Any])
    except msgspec.MsgspecError:
        raise _invalid(name, "must be a JSON object") from None


def _faults(error: str | None) -> list[Fault]:
    return msgspec.json.decode(error, type=list[Fault]) if error else []


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _account_event(
    row: store.AccountEventRow, instance: store.InstanceRow, concerned: store.Concerned
) -> pb.AccountEvent:
    is_its_own = row.instance_id is not None or row.number in concerned.numbers
    return pb.AccountEvent(
        id=str(row.id),
        field=row.field,
        event=row.event,
        happened_at=_timestamp(row.happened_at),
        value_json=row.told,
        instance_id=str(instance.public_id) if is_its_own else "",
        account_id=row.account_id,
        batch_id=str(row.batch_id),
    )


def _batch(row: store.BatchRow, items: list[batches.Item], *, shows_faults: bool) -> pb.Batch:
    return pb.Batch(
        id=str(row.id),
        received_at=_timestamp(row.received_at),
        state=_STATES[row.state],
        attempts=row.attempts,
        body_bytes=row.body_bytes,
        parser_version=row.parser_version,
        items=[
            pb.BatchItem(
                path=item.path,
                kind=item.kind,
                outcome=item.outcome,
                message_id=str(item.message_id) if item.message_id else "",
                wamid=item.wamid,
                type=item.type,
            )
            for item in items
        ],
        faults=[pb.ItemFault(path=fault.path, reason=fault.reason) for fault in _faults(row.error)]
        if shows_faults
        else [],
    )


def _export(row: store.ExportRow) -> pb.Export:
    done = 100 if row.status == "completed" else 99 * row.leads_done // max(1, row.leads_total)
    return pb.Export(
        id=str(row.id),
        status=row.status,
        percent=done,
        leads_done=row.leads_done,
        leads_total=row.leads_total,
        file_bytes=row.file_bytes,
        error_message=row.error_message or "",
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
    )


def _ticket(row: store.TicketRow) -> pb.Ticket:
    return pb.Ticket(
        id=str(row.id), lead_id=str(row.lead_id), opened_at=row.opened_at, closed_at=row.closed_at
    )


def _lead_merge(row: store.LeadMergeRow) -> pb.LeadMerge:
    return pb.LeadMerge(
        id=str(row.id),
        lead_id=str(row.survivor_id),
        merged_lead_id=str(row.merged_id),
        message_count=len(row.message_ids),
        merged_at=_timestamp(row.merged_at),
        undone_at=_timestamp(row.undone_at),
    )


def _instance(row: store.InstanceRow, history: store.SyncLogRow | None = None) -> pb.Instance:
    return pb.Instance(
        id=str(row.public_id),
        waba_id=row.waba_id,
        phone_number_id=row.phone_number_id,
        display_phone_number=row.display_phone_number,
        name=row.name,
        webhook_activated_at=_timestamp(row.webhook_activated_at),
        last_sync_at=_timestamp(row.last_sync_at),
        sync_status=row.sync_status,
        sync_error=row.sync_error or "",
        connection_state=row.connection_state,
        connection_reason=row.connection_reason or "",
        connection_changed_at=_timestamp(row.connection_changed_at),
        history=_sync(history) if history else None,
    )


def _sync(row: store.SyncLogRow) -> pb.SyncLog:
    return pb.SyncLog(
        id=str(row.id),
        lead_id=str(row.lead_id) if row.lead_id else "",
        sync_type=row.sync_type,
        status=row.status,
        step=row.step,
        percent=row.percent,
        messages_imported=row.messages_imported,
        error_message=row.error_message or "",
        created_at=_timestamp(row.created_at),
        started_at=_timestamp(row.started_at),
        completed_at=_timestamp(row.completed_at),
        instance_id=str(row.instance_public_id) if row.instance_public_id else "",
        detail_json=row.detail or "",
    )


def _progress(progress: recovery.Progress) -> pb.ReplayProgress:
    return pb.ReplayProgress(
        webhooks_total=progress.webhooks_total,
        webhooks_done=progress.webhooks_done,
        messages_imported=progress.messages_imported,
        webhooks_failed=progress.webhooks_failed,
        webhooks_replayed=progress.webhooks_replayed,
    )


def _profile(row: store.LeadProfileRow) -> pb.LeadProfile:
    return pb.LeadProfile(
        lead_id=str(row.id),
        name=row.name or "",
        wa_id=row.wa_id or "",
        user_id=row.user_id or "",
        username=row.username or "",
        last_message_at=_timestamp(row.last_message_at),
        instance_id=str(row.instance_public_id) if row.instance_public_id else "",
        phone_number_id=row.phone_number_id or "",
    )
