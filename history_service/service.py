"""HistoryService over gRPC: what each call means stands in protos/history.proto."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import grpc

from history_service import asking, coverage, cursor, paging, resuming, store, views, words
from history_service.audit import Recorder
from history_service.watch import Watch
from plumbing import errors, postgres
from plumbing.rpc import calls
from protos import history_pb2 as pb, history_pb2_grpc
from protos.ids import uuid7

FULL_NAME: Final = "recado.history.v1.HistoryService"

_HITS_DEFAULT: Final = 20
_HITS_MAX: Final = 100
_LEADS_FOUND_MAX: Final = 5
_SUBJECT_CHARS_MAX: Final = 200
# What changed beyond it is not told piece by piece.
_CHANGED_MAX: Final = 1000
_EXPORT_PAGE: Final = 500
_EXPORT_PAGE_TIMEOUT_S: Final = 10.0
_WATCH_LOOK_S: Final = 15.0
_STOP_LOOK_S: Final = 1.0
# Each is served by a thread of its own, for as long as its reader takes; the rest is for those who ask.
_STREAMS_MAX: Final = 12
# Of the same user: who stops reading a few exports keeps nobody else from theirs.
_STREAMS_OF_ONE_MAX: Final = 4
_STREAM_S: Final = 3600.0
_MARGIN_S: Final = 0.1
_INBOUND: Final = 1


T = TypeVar("T")
_Recorded: TypeAlias = Callable[[float], None]
"""Waits, that many seconds at most, until a read is on record."""


class HistoryServicer(history_pb2_grpc.HistoryServiceServicer):
    def __init__(self, pool: postgres.Pool, recorder: Recorder, *, clock: Callable[[], datetime]) -> None:
        """`recorder` has connections of its own: a read waits for it."""
        self._pool = pool
        self._clock = clock
        self._recorder = recorder
        self._watch = Watch(pool)
        # By (tenant, subject).
        self._streams: Counter[tuple[str, str]] = Counter()
        self._streams_lock = threading.Lock()
        # Tenants are never renamed and their ids never used again, so a name is looked up once.
        self._tenant_ids: dict[str, int] = {}

    def stop(self) -> None:
        """End the streams."""
        self._watch.stop()

    def ListMessages(
        self, request: pb.ListMessagesRequest, context: grpc.ServicerContext
    ) -> pb.ListMessagesResponse:
        caller = calls.current().caller
        caller.require("history:read")
        page_size = asking.page_size(request.page_size)
        lead_id = asking.uuid_of("lead_id", request.lead_id)
        from_time, to_time = asking.period(request)
        if request.order not in (pb.ORDER_UNSPECIFIED, pb.ORDER_ASC, pb.ORDER_DESC):
            raise asking.invalid("order", "must be ORDER_ASC or ORDER_DESC")
        is_descending = request.order == pb.ORDER_DESC
        asked = asking.message_filter("filter", request.filter)
        around = asking.uuid_if_given("around_message_id", request.around_message_id)
        if around and request.page_token:
            raise asking.invalid("around_message_id", "cannot be given with a page_token")

        def question(*, is_descending: bool) -> tuple[Any, ...]:
            return ("messages", caller.tenant, lead_id, from_time, to_time, is_descending, *asked.question)

        position = asking.position(request.page_token, question(is_descending=is_descending))
        after = (position.moment, position.row_id) if position and position.moment else None
        known = position.total if position else None

        def work(conn: postgres.Transaction) -> tuple[pb.ListMessagesResponse, _Recorded | None]:
            # Before anything is read: what is committed later may be missing from the answer.
            synced_up_to = self._clock()
            access = self._access(conn)
            lead, conversations = _open(conn, access, lead_id)
            wanted = self._wanted(conn, access, asked, from_time, to_time)
            wanted = _within(wanted, lead, conversations)
            if around:
                part = paging.around(conn, wanted, around, is_descending=is_descending, count=page_size)
            else:
                part = paging.page(
                    conn, wanted, is_descending=is_descending, after=after, count=page_size, known=known
                )
            in_all = sum(row.message_count for row in conversations)
            if wanted.is_whole and not asked.instance_id:
                total, carried = in_all, None
            elif position and position.total is not None:
                total = carried = position.total
            else:
                total = carried = paging.total(conn, wanted, part, is_first=after is None and not around)
            is_minimum = wanted.words is not None and total > paging.MATCHES_MAX
            recorded = self._record("messages.read", access, lead.id, len(part.rows))
            instances = {row.instance_id: row for row in conversations}
            first_message_at, last_message_at = views.span(conversations)
            answer = pb.ListMessagesResponse(
                messages=[views.message_of(row, instances[row.instance_id], lead) for row in part.rows],
                total_size=paging.MATCHES_MAX if is_minimum else total,
                is_total_a_minimum=is_minimum,
                summary=pb.ConversationSummary(
                    first_message_at=first_message_at,
                    last_message_at=last_message_at,
                    total_messages=in_all,
                    synced_up_to=synced_up_to,
                ),
            )
            if part.has_more:
                answer.next_page_token = asking.token(
                    part.rows[-1], carried, question(is_descending=is_descending)
                )
            if part.has_before:
                answer.previous_page_token = asking.token(
                    part.rows[0], carried, question(is_descending=not is_descending)
                )
            return answer, recorded

        return self._read(work)

    def SearchMessages(
        self, request: pb.SearchMessagesRequest, context: grpc.ServicerContext
    ) -> pb.SearchMessagesResponse:
        caller = calls.current().caller
        caller.require("history:read")
        page_size = asking.page_size(request.page_size, default=_HITS_DEFAULT, at_most=_HITS_MAX)
        if not request.query.strip():
            raise asking.invalid("query", "is required")
        if request.filter.query:
            raise asking.invalid("filter.query", "belongs into query")
        request.filter.query = request.query
        asked = asking.message_filter("", request.filter)
        lead_id = asking.uuid_if_given("lead_id", request.lead_id)
        from_time, to_time = asking.period(request)
        question = ("search", caller.tenant, lead_id, from_time, to_time, *asked.question)
        position = asking.position(request.page_token, question)
        after = (position.moment, position.row_id) if position and position.moment else None
        known = position.total if position else None
        terms = asked.terms or []

        def work(conn: postgres.Transaction) -> tuple[pb.SearchMessagesResponse, _Recorded | None]:
            try:
                access = self._access(conn)
            except errors.NotFound:  # a business whose first number is yet to be registered
                if lead_id:
                    raise
                return pb.SearchMessagesResponse(), None
            wanted = self._wanted(conn, access, asked, from_time, to_time)
            if access.instances is not None and wanted.instance_ids is None:
                visible = store.visible_instances(conn, access)
                wanted = store.replaced(wanted, instance_ids=visible)
            if lead_id:
                wanted = _within(wanted, *_open(conn, access, lead_id))
            part = paging.page(conn, wanted, is_descending=True, after=after, count=page_size, known=known)
            total = position.total if position and position.total is not None else part.matched or 0
            marked = words.marks(terms, self._forms(conn, terms))
            counts = Counter(row.lead_id for row in part.rows)
            recorded = self._record_leads("messages.search", access, counts, wanted.lead_id)
            people = self._people(conn, access, request.query) if after is None and lead_id is None else []
            if people:
                listed = self._record_leads("leads.list", access, Counter(row.id for row in people))
                recorded = _all_of([recorded, listed])
            leads = {row.lead.id: row for row in self._leads_of(conn, access, part.rows)}
            answer = pb.SearchMessagesResponse(
                total_size=min(total, paging.MATCHES_MAX), is_total_a_minimum=total > paging.MATCHES_MAX
            )
            for row in part.rows:
                found = leads[row.lead_id]
                if not found.has(row.instance_id):
                    continue
                message = views.message_of(row, found.of_instance(row.instance_id), found.lead)
                answer.hits.add(
                    message=message,
                    lead=views.lead_of(found.lead, (), now=self._clock()),
                    snippet=[
                        pb.Piece(text=piece.text, is_match=piece.is_match)
                        for piece in words.snippet(message.body, marked)
                    ],
                )
            if part.has_more:
                answer.next_page_token = asking.token(part.rows[-1], total, question)
            exchanges = self._exchanges_of(conn, access, [row.id for row in people])
            answer.leads.extend(views.lead_of(row, exchanges[row.id], now=self._clock()) for row in people)
            return answer, recorded

        return self._read(work)

    def ExportMessages(
        self, request: pb.ExportMessagesRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExportMessagesResponse]:
        calls.current().caller.require("history:read")
        lead_id = asking.uuid_of("lead_id", request.lead_id)
        from_time, to_time = asking.period(request)
        asked = asking.message_filter("filter", request.filter)
        with self._streaming():
            after: store.Place | None = None
            is_first = True
            while context.is_active():

                def work(
                    conn: postgres.Transaction, after: store.Place | None = after, is_first: bool = is_first
                ) -> tuple[tuple[list[pb.Message], store.Place | None], _Recorded | None]:
                    access = self._access(conn)
                    lead, conversations = _open(conn, access, lead_id)
                    wanted = self._wanted(conn, access, asked, from_time, to_time)
                    wanted = _within(wanted, lead, conversations)
                    recorded = None
                    if is_first:
                        count = 0 if wanted.words == "" else store.count_messages(conn, wanted)
                        recorded = self._record("messages.export", access, lead.id, count)
                    part = paging.page(conn, wanted, is_descending=False, after=after, count=_EXPORT_PAGE)
                    instances = {row.instance_id: row for row in conversations}
                    messages = [views.message_of(row, instances[row.instance_id], lead) for row in part.rows]
                    last = part.rows[-1] if part.has_more else None
                    return (messages, (last.sent_at, last.id) if last else None), recorded

                messages, after = self._read(work, timeout_s=min(_remaining_s(), _EXPORT_PAGE_TIMEOUT_S))
                is_first = False
                if messages:
                    yield pb.ExportMessagesResponse(messages=messages)
                if after is None:
                    return

    def ListChanges(
        self, request: pb.ListChangesRequest, context: grpc.ServicerContext
    ) -> pb.ListChangesResponse:
        caller = calls.current().caller
        caller.require("history:read")
        lead_id = asking.uuid_if_given("lead_id", request.lead_id)
        watchers = None
        if request.watchers:
            caller.require("service")
            watchers = asking.watchers(request)
        moment, until = (
            asking.resumed(request.resume_token),
            asking.resumed(request.until_token, "until_token"),
        )
        return self._changes(lead_id, moment, watchers, until, timeout_s=_remaining_s())

    def WatchMessages(
        self, request: pb.ListChangesRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ListChangesResponse]:
        caller = calls.current().caller
        caller.require("history:read")
        lead_id = asking.uuid_if_given("lead_id", request.lead_id)
        moment = asking.resumed(request.resume_token)
        # Who has watched for so long has to show a token that is still good.
        ends_at = time.monotonic() + _STREAM_S
        with self._streaming(), self._watch.listening(caller.tenant) as listener:
            is_first = True
            while context.is_active() and not self._watch.is_stopping and time.monotonic() < ends_at:
                found = self._changes(lead_id, moment, timeout_s=min(_remaining_s(), _WATCH_LOOK_S))
                moment = asking.resumed(found.resume_token)
                if is_first or found.messages or found.lead_ids or found.must_reload:
                    yield found
                is_first = False
                _hear(listener, context, self._watch)

    def WatchLeads(
        self, request: pb.WatchLeadsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchLeadsResponse]:
        calls.current().caller.require("service")
        with self._watch.listening() as listener:
            # The caller knows by it that nothing is missed from now on.
            yield pb.WatchLeadsResponse()
            while context.is_active() and not self._watch.is_stopping:
                heard = _hear(listener, context, self._watch)
                yield pb.WatchLeadsResponse(
                    touches=[
                        pb.WatchLeadsResponse.Touch(tenant=tenant, lead_id=str(lead_id))
                        for tenant, lead_id in heard.touches
                    ],
                    may_have_missed=heard.is_unsure,
                )

    def GetCoverage(self, request: pb.GetCoverageRequest, context: grpc.ServicerContext) -> pb.Coverage:
        calls.current().caller.require("history:read")
        lead_id = asking.uuid_of("lead_id", request.lead_id)

        def work(conn: postgres.Transaction) -> tuple[pb.Coverage, _Recorded | None]:
            access = self._access(conn)
            lead, conversations = _open(conn, access, lead_id)
            recorded = self._record("coverage.read", access, lead.id, len(conversations))
            keys = [row.instance_id for row in conversations]
            instances = {
                row.id: row for row in store.list_instances(conn, tenant_id=access.tenant_id, ids=keys)
            }
            recoveries = store.list_recoveries(
                conn, tenant_id=access.tenant_id, lead_id=lead.id, instance_ids=keys
            )
            answer = pb.Coverage(
                conversations=[
                    views.coverage_of(
                        row,
                        coverage.read(
                            instances[row.instance_id],
                            [found for found in recoveries if found.instance_id == row.instance_id],
                        ),
                    )
                    for row in conversations
                ]
            )
            return answer, recorded

        return self._read(work)

    def ListAudit(self, request: pb.ListAuditRequest, context: grpc.ServicerContext) -> pb.ListAuditResponse:
        caller = calls.current().caller
        caller.require("audit:read")
        if caller.instances is not None:
            raise errors.PermissionDenied("the audit log is not for tokens that are limited to instances")
        page_size = asking.page_size(request.page_size)
        lead_id = asking.uuid_if_given("lead_id", request.lead_id)
        if len(request.subject) > _SUBJECT_CHARS_MAX or "\0" in request.subject:
            raise asking.invalid(
                "subject", f"must be at most {_SUBJECT_CHARS_MAX} characters, none of them U+0000"
            )
        before = asking.uuid_if_given("page_token", request.page_token)

        def work(conn: postgres.Transaction) -> pb.ListAuditResponse:
            try:
                access = self._access(conn)
            except errors.NotFound:
                return pb.ListAuditResponse()
            rows = store.list_audit_rows(
                conn,
                tenant_id=access.tenant_id,
                lead_id=lead_id,
                subject=request.subject or None,
                before=before,
                count_max=page_size + 1,
            )
            page = rows[:page_size]
            return pb.ListAuditResponse(
                entries=[views.audit_entry_of(row) for row in page],
                next_page_token=str(page[-1].id) if len(rows) > page_size else "",
            )

        return postgres.run_read(self._pool, work, timeout_s=_remaining_s())

    def ListLeads(self, request: pb.ListLeadsRequest, context: grpc.ServicerContext) -> pb.ListLeadsResponse:
        caller = calls.current().caller
        caller.require("history:read")
        page_size = asking.page_size(request.page_size)
        if len(request.query) > words.CHARS_MAX or "\0" in request.query:
            raise asking.invalid(
                "query", f"must be at most {words.CHARS_MAX} characters, none of them U+0000"
            )
        sought = asking.lead_search(request.query)
        question = ("leads", caller.tenant, *sought.words)
        position = asking.position(request.page_token, question)
        after = (position.moment, position.row_id) if position else None

        def work(conn: postgres.Transaction) -> tuple[pb.ListLeadsResponse, _Recorded | None]:
            try:
                access = self._access(conn)
            except errors.NotFound:  # a business whose first number is yet to be registered
                return pb.ListLeadsResponse(), None
            rows = store.list_leads(conn, access, sought, after=after, count_max=page_size + 1)
            if position and position.total is not None:
                total = position.total
            else:
                total = store.count_leads(conn, access, sought)
            page = rows[:page_size]
            token = ""
            if len(rows) > page_size:
                last = cursor.Position.at(page[-1].last_message_at, page[-1].id, total=total)
                token = cursor.write(last, *question)
            recorded = self._record_leads("leads.list", access, Counter(row.id for row in page))
            exchanges: dict[uuid.UUID, list[store.ConversationRow]] = {row.id: [] for row in page}
            for exchange in store.list_conversations(conn, access, list(exchanges)):
                exchanges[exchange.lead_id].append(exchange)
            answer = pb.ListLeadsResponse(
                leads=[views.lead_of(row, exchanges[row.id], now=self._clock()) for row in page],
                next_page_token=token,
                total_size=total,
            )
            newest = {
                row.lead_id: row
                for row in store.list_last_messages(
                    conn,
                    tenant_id=access.tenant_id,
                    lead_ids=list(exchanges),
                    instance_ids=store.visible_instances(conn, access),
                )
            }
            for row, shown in zip(page, answer.leads, strict=True):
                last_message = newest.get(row.id)
                if last_message:
                    instances = {found.instance_id: found for found in exchanges[row.id]}
                    shown.last_message.CopyFrom(
                        views.message_of(last_message, instances[last_message.instance_id], row)
                    )
            return answer, recorded

        return self._read(work)

    def GetLead(self, request: pb.GetLeadRequest, context: grpc.ServicerContext) -> pb.Lead:
        calls.current().caller.require("history:read")
        lead_id = asking.uuid_of("lead_id", request.lead_id)

        def work(conn: postgres.Transaction) -> tuple[pb.Lead, _Recorded | None]:
            access = self._access(conn)
            lead, conversations = _open(conn, access, lead_id)
            recorded = self._record("lead.read", access, lead.id, 1)
            answer = views.lead_of(lead, conversations, now=self._clock())
            return answer, recorded

        return self._read(work)

    # What several calls need

    @contextmanager
    def _streaming(self) -> Generator[None]:
        """Take one of the places for streams. Raises ResourceExhausted."""
        caller = calls.current().caller
        user = (caller.tenant, caller.subject)
        with self._streams_lock:
            if self._streams[user] >= _STREAMS_OF_ONE_MAX or self._streams.total() >= _STREAMS_MAX:
                raise errors.ResourceExhausted("too many streams are being read", retry_after_s=10)
            self._streams[user] += 1
        try:
            yield
        finally:
            with self._streams_lock:
                self._streams[user] -= 1
                if not self._streams[user]:
                    del self._streams[user]

    def _read(
        self,
        work: Callable[[postgres.Transaction], tuple[T, _Recorded | None]],
        *,
        timeout_s: float | None = None,
    ) -> T:
        """Do a read that begins to record itself; give its answer once the record is written."""
        answer, recorded = postgres.run_read(self._pool, work, timeout_s=timeout_s or _remaining_s())
        if recorded:
            recorded(_remaining_s())
        return answer

    def _access(self, conn: postgres.Transaction) -> store.Access:
        """Give what the caller's token opens. Raises NotFound when nothing of its tenant is there."""
        caller = calls.current().caller
        tenant_id = self._tenant_ids.get(caller.tenant)
        if tenant_id is None:
            tenant_id = store.find_tenant(conn, caller.tenant)
            if tenant_id is None:
                raise errors.NotFound("no such lead")
            self._tenant_ids[caller.tenant] = tenant_id
        if caller.instances is None:
            return store.Access(tenant_id)
        # What is no UUID is the id of no instance: it opens nothing.
        return store.Access(
            tenant_id, [id for text in sorted(caller.instances) if (id := asking.read_uuid(text))]
        )

    def _record(
        self,
        action: str,
        access: store.Access,
        lead_id: uuid.UUID | None,
        count: int,
        reader: asking.Watcher | None = None,
    ) -> _Recorded:
        """Begin to record a read, the caller's or another's; call what this gives before the answer."""
        call, now = calls.current(), self._clock()
        return self._recorder.note(
            store.AuditRow(
                tenant_id=access.tenant_id,
                id=uuid7(now),
                happened_at=now,
                subject=reader.subject if reader else call.caller.subject,
                action=action,
                lead_id=lead_id,
                count=count,
                request_id=reader.request_id if reader else call.request_id,
            )
        )

    def _record_leads(
        self,
        action: str,
        access: store.Access,
        counts: Counter[uuid.UUID],
        asked_lead_id: uuid.UUID | None = None,
    ) -> _Recorded:
        """Begin to record a read that showed several leads: each, or that there was none."""
        if not counts:
            return self._record(action, access, asked_lead_id, 0)
        return _all_of([self._record(action, access, lead_id, count) for lead_id, count in counts.items()])

    def _wanted(
        self,
        conn: postgres.Transaction,
        access: store.Access,
        asked: asking.Asked,
        from_time: datetime | None,
        to_time: datetime | None,
    ) -> store.MessageFilter:
        """Give the filter of a request, of all leads. Raises NotFound for an instance of others."""
        instance_ids = None
        if asked.instance_id:
            instance = store.find_instance(conn, access, asked.instance_id)
            if instance is None:
                raise errors.NotFound("no such instance")
            instance_ids = [instance]
        found_words = words_as_typed = None
        if asked.terms is not None:
            forms = self._forms(conn, asked.terms)
            found_words = words.query(asked.terms, forms)
            words_as_typed = words.query(asked.terms, forms, is_as_typed=True)
        return store.MessageFilter(
            tenant_id=access.tenant_id,
            instance_ids=instance_ids,
            from_time=from_time,
            to_time=to_time,
            direction=asked.direction,
            type=asked.type,
            outbound_statuses=asked.outbound_statuses,
            inbound_statuses=asked.inbound_statuses,
            words=found_words,
            words_as_typed=words_as_typed,
        )

    def _forms(self, conn: postgres.Transaction, terms: Sequence[words.Term]) -> dict[str, words.Forms]:
        typed = sorted({word for term in terms for word in term.words})
        found = store.find_word_forms(conn, typed) if typed else []
        return {row.word: words.Forms(row.lexemes, row.stems) for row in found}

    def _people(self, conn: postgres.Transaction, access: store.Access, query: str) -> list[store.LeadRow]:
        """Give a few whose name or number holds what is sought."""
        return store.list_leads(
            conn, access, asking.lead_search(query), after=None, count_max=_LEADS_FOUND_MAX
        )

    def _leads_of(
        self, conn: postgres.Transaction, access: store.Access, rows: Sequence[store.MessageRow]
    ) -> list["_Whose"]:
        """Give the leads of these messages with the conversations that the caller may see."""
        lead_ids = sorted({row.lead_id for row in rows})
        exchanges = self._exchanges_of(conn, access, lead_ids)
        return [
            _Whose(lead, exchanges[lead.id])
            for lead in store.find_leads(conn, tenant_id=access.tenant_id, ids=lead_ids)
        ]

    def _exchanges_of(
        self, conn: postgres.Transaction, access: store.Access, lead_ids: Sequence[uuid.UUID]
    ) -> dict[uuid.UUID, list[store.ConversationRow]]:
        """Give the conversations of leads that the caller may see, by lead."""
        exchanges: dict[uuid.UUID, list[store.ConversationRow]] = {id: [] for id in lead_ids}
        for exchange in store.list_conversations(conn, access, list(exchanges)):
            exchanges[exchange.lead_id].append(exchange)
        return exchanges

    def _changes(
        self,
        lead_id: uuid.UUID | None,
        moment: resuming.Moment | None,
        watchers: Sequence[asking.Watcher] | None = None,
        until: resuming.Moment | None = None,
        *,
        timeout_s: float,
    ) -> pb.ListChangesResponse:
        """Tell what changed: the caller, or those whom it asks for."""

        def work(conn: postgres.Transaction) -> tuple[pb.ListChangesResponse, _Recorded | None]:
            now = self._clock()
            snapshot = store.current_snapshot(conn)
            token = resuming.write(until or resuming.Moment(now, snapshot))
            answer = pb.ListChangesResponse(resume_token=token)
            try:
                access = self._access(conn)
            except errors.NotFound:
                if lead_id:
                    raise
                return answer, None
            told = watchers
            if told is None:
                lead = _open(conn, access, lead_id)[0].id if lead_id else None
                answer.lead_id = str(lead or "")
                call = calls.current()
                told = [asking.Watcher(call.caller.subject, lead, call.request_id)]
            if moment is None:
                return answer, None
            if moment.is_too_old(now, snapshot):
                answer.must_reload = True
                return answer, None
            leads = {watcher.lead_id for watcher in told}
            changed = store.list_changes(
                conn,
                tenant_id=access.tenant_id,
                lead_ids=None if None in leads else [lead for lead in leads if lead],
                snapshot=moment.snapshot,
                until=until.snapshot if until else None,
                count_max=_CHANGED_MAX + 1,
            )
            message_ids = {id for row in changed for id in row.message_ids}
            if len(changed) > _CHANGED_MAX or len(message_ids) > _CHANGED_MAX:
                answer.must_reload = True
                return answer, None
            return answer, self._tell_changes(conn, access, changed, message_ids, told, answer)

        return self._read(work, timeout_s=timeout_s)

    def _tell_changes(
        self,
        conn: postgres.Transaction,
        access: store.Access,
        changed: Sequence[store.ChangeRow],
        message_ids: Collection[uuid.UUID],
        watchers: Sequence[asking.Watcher],
        answer: pb.ListChangesResponse,
    ) -> _Recorded | None:
        rows = (
            store.find_messages(
                conn,
                tenant_id=access.tenant_id,
                ids=sorted(message_ids),
                instance_ids=store.visible_instances(conn, access),
            )
            if message_ids
            else []
        )
        # What has been moved to another lead since is not theirs to hear.
        leads_watched = {watcher.lead_id for watcher in watchers}
        if None not in leads_watched:
            rows = [row for row in rows if row.lead_id in leads_watched]
        themselves = sorted({row.lead_id for row in changed if row.is_of_lead})
        if access.instances is not None and themselves:
            seen = store.list_conversations(conn, access, themselves)
            themselves = sorted({row.lead_id for row in seen})
        if not rows and not themselves:
            return None
        recorded = self._record_changes(access, watchers, Counter(row.lead_id for row in rows), themselves)
        leads = {row.lead.id: row for row in self._leads_of(conn, access, rows)}
        answer.messages.extend(
            views.message_of(row, leads[row.lead_id].of_instance(row.instance_id), leads[row.lead_id].lead)
            for row in rows
        )
        answer.lead_ids.extend(str(id) for id in themselves)
        return recorded

    def _record_changes(
        self,
        access: store.Access,
        watchers: Sequence[asking.Watcher],
        counts: Counter[uuid.UUID],
        themselves: Collection[uuid.UUID],
    ) -> _Recorded:
        """Begin to record what each of these is told: messages, or else leads."""
        given: list[_Recorded] = []
        for watcher in watchers:
            if watcher.lead_id:
                count = counts[watcher.lead_id] or int(watcher.lead_id in themselves)
            else:
                count = counts.total() or len(themselves)
            if count:
                given.append(self._record("messages.watch", access, watcher.lead_id, count, watcher))

        return _all_of(given)


def _all_of(begun: Sequence[_Recorded]) -> _Recorded:
    def wait(timeout_s: float) -> None:
        for recorded in begun:
            recorded(timeout_s)

    return wait


class _Whose(NamedTuple):
    """A lead and its conversations."""

    lead: store.LeadRow
    conversations: list[store.ConversationRow]

    def has(self, instance_id: int) -> bool:
        return any(row.instance_id == instance_id for row in self.conversations)

    def of_instance(self, instance_id: int) -> store.ConversationRow:
        return next(row for row in self.conversations if row.instance_id == instance_id)


def _hear(listener: Any, context: grpc.ServicerContext, watch: Watch) -> Any:
    """Wait until something is touched, or a while; leave at once when the call or the service ends."""
    waited_s = 0.0
    while waited_s < _WATCH_LOOK_S and context.is_active() and not watch.is_stopping:
        heard = listener.wait(_STOP_LOOK_S)
        if heard.touches or heard.is_unsure:
            return heard
        waited_s += _STOP_LOOK_S
    return listener.wait(0)


def register(server: grpc.Server, servicer: HistoryServicer) -> None:
    stubs: Any = history_pb2_grpc  # generated without types
    stubs.add_HistoryServiceServicer_to_server(servicer, server)


def _open(
    conn: postgres.Transaction, access: store.Access, lead_id: uuid.UUID
) -> tuple[store.LeadRow, list[store.ConversationRow]]:
    """Give a lead that the caller may see. Raises NotFound, alike for what is not there."""
    found = store.find_lead(conn, access, lead_id)
    if found is None:
        survivor = store.find_survivor(conn, tenant_id=access.tenant_id, lead_id=lead_id)
        found = store.find_lead(conn, access, survivor) if survivor else None
    if found is None:
        raise errors.NotFound("no such lead")
    return found


def _within(
    wanted: store.MessageFilter, lead: store.LeadRow, conversations: Sequence[store.ConversationRow]
) -> store.MessageFilter:
    """Ask it of one lead, in these conversations."""
    instance_ids = [
        row.instance_id
        for row in conversations
        if wanted.instance_ids is None or row.instance_id in wanted.instance_ids
    ]
    return store.replaced(wanted, lead_id=lead.id, instance_ids=instance_ids)


def _remaining_s() -> float:
    remaining_s = calls.current().remaining_s() - _MARGIN_S
    if remaining_s <= 0:
        raise errors.DeadlineExceeded("no time left")
    return remaining_s
