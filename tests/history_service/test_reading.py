"""Search, filters, the page around a message, export, the feed of changes, coverage and the audit log."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from history_service import service
from plumbing import errors
from protos import history_pb2 as pb
from tests.history_service.archive import START, Archive


def texts(found: Any) -> list[str]:
    return [hit.message.body for hit in found.hits]


def search(history: Any, token: str, query: str, **how: Any) -> Any:
    return history.SearchMessages(pb.SearchMessagesRequest(query=query, **how), token)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("cafe", ["O CAFÉ está frio", "cafés do mês"]),
        ("CAFÉ frio", ["O CAFÉ está frio"]),
        ("ped", ["Meu pedido 4711 não chegou", "pedidos: 2"]),
        ("comprando", ["Vou comprar amanhã"]),
        ("4711", ["Meu pedido 4711 não chegou"]),
        ('"bom dia"', ["bom dia, tudo bem?"]),
        ('"dia bom"', []),
        ("dia -bom", ["um dia desses"]),
        ("loja.com", ["escreva para ana@loja.com.br"]),
        ("nada disso", []),
        ("🙂", []),
        ("' | ! & <-> :* ( ) \\ \"", []),
        ("'; DROP TABLE leads; --", []),
    ],
)
def test_words_are_found_as_a_person_means_them(
    history: Any, archive: Archive, owner: str, query: str, found: list[str]
):
    lead, instance = archive.lead(), archive.instance()
    for body in (
        "cafés do mês",
        "O CAFÉ está frio",
        "pedidos: 2",
        "Meu pedido 4711 não chegou",
        "Vou comprar amanhã",
        "bom dia, tudo bem?",
        "um dia desses",
        "escreva para ana@loja.com.br",
    ):
        archive.message(lead, instance, body=body)

    answer = search(history, owner, query)

    assert texts(answer) == found
    assert answer.total_size == len(found)
    assert not answer.is_total_a_minimum
    for hit in answer.hits:
        assert any(piece.is_match for piece in hit.snippet), hit


def test_what_was_edited_is_found_by_what_it_says_now_and_what_was_revoked_not_at_all(
    history: Any, archive: Archive, owner: str
):
    lead, instance = archive.lead(), archive.instance()
    archive.message(
        lead,
        instance,
        body="preço antigo",
        shown="preço novo",
        mentions='{"edits":[{"at":1,"body":"preço novo","type":"text","wamid":"e"}]}',
    )
    archive.message(lead, instance, body="segredo", shown="", mentions='{"revokes":[{"at":1,"wamid":"r"}]}')

    assert texts(search(history, owner, "novo")) == ["preço novo"]
    assert texts(search(history, owner, "antigo")) == []
    assert texts(search(history, owner, "segredo")) == []


def test_a_search_goes_through_all_pages_newest_first(history: Any, archive: Archive, owner: str):
    instance = archive.instance()
    leads = [archive.lead() for _ in range(3)]
    expected = [archive.message(leads[n % 3], instance, body=f"pedido {n}") for n in range(25)][::-1]

    found: list[str] = []
    token = ""
    while True:
        page = search(history, owner, "pedido", page_size=7, page_token=token)
        assert page.total_size == 25
        found += [hit.message.id for hit in page.hits]
        token = page.next_page_token
        if not token:
            break

    assert found == expected


def test_a_search_may_be_within_a_lead_a_time_a_direction_and_a_number(
    history: Any, archive: Archive, owner: str
):
    first, second = archive.instance(), archive.instance()
    ana, bia = archive.lead(), archive.lead()
    archive.message(ana, first, body="pedido um", direction=2, status=5)
    archive.message(ana, second, body="pedido dois")
    archive.message(bia, second, body="pedido três")

    assert texts(search(history, owner, "pedido", lead_id=str(ana))) == ["pedido dois", "pedido um"]
    assert texts(search(history, owner, "pedido", filter=pb.MessageFilter(instance_id=str(second)))) == [
        "pedido três",
        "pedido dois",
    ]
    assert texts(search(history, owner, "pedido", filter=pb.MessageFilter(direction=pb.OUTBOUND))) == [
        "pedido um"
    ]
    later = START + timedelta(days=400)
    assert texts(search(history, owner, "pedido", from_time=later)) == []


def test_people_are_found_by_name_and_number_with_the_messages(history: Any, archive: Archive, owner: str):
    instance = archive.instance()
    joao = archive.lead(profile_name="João Pereira")
    archive.message(joao, instance, body="oi")
    archive.message(archive.lead(profile_name="Maria"), instance, body="falei com o joão ontem")

    answer = search(history, owner, "joao")

    assert texts(answer) == ["falei com o joão ontem"]
    assert [lead.name for lead in answer.leads] == ["João Pereira"]


@pytest.mark.parametrize("looked_through", [5, 1000])
@pytest.mark.parametrize("within_lead", [False, True])
def test_words_in_very_many_messages_are_found_without_counting_them_all(
    history: Any,
    archive: Archive,
    owner: str,
    monkeypatch: pytest.MonkeyPatch,
    looked_through: int,
    within_lead: bool,
):
    monkeypatch.setattr("history_service.paging.MATCHES_MAX", 10)
    monkeypatch.setattr("history_service.paging._LOOKED_THROUGH", looked_through)
    lead, instance = archive.lead(), archive.instance()
    where = {"lead_id": str(lead)} if within_lead else {}
    expected = []
    for n in range(60):
        archive.message(lead, instance, body=f"outra coisa {n}")
        if n % 2:
            expected.insert(0, archive.message(lead, instance, body=f"bom dia {n}"))

    found: list[str] = []
    token = ""
    while True:
        page = search(history, owner, "bom", page_size=8, page_token=token, **where)
        assert (page.total_size, page.is_total_a_minimum) == (10, True)
        found += [hit.message.id for hit in page.hits]
        token = page.next_page_token
        if not token:
            break

    assert found == expected


@pytest.mark.parametrize("within_lead", [False, True])
def test_words_in_very_many_old_messages_are_found_however_many_came_since(
    history: Any, archive: Archive, owner: str, monkeypatch: pytest.MonkeyPatch, within_lead: bool
):
    monkeypatch.setattr("history_service.paging.MATCHES_MAX", 5)
    monkeypatch.setattr("history_service.paging._LOOKED_THROUGH", 10)
    lead, instance = archive.lead(), archive.instance()
    where = {"lead_id": str(lead)} if within_lead else {}
    expected = [archive.message(lead, instance, body=f"bom dia {n}") for n in range(20)][::-1]
    for n in range(40):
        archive.message(lead, instance, body=f"outra coisa {n}")

    found: list[str] = []
    token = ""
    while True:
        page = search(history, owner, "bom", page_size=6, page_token=token, **where)
        found += [hit.message.id for hit in page.hits]
        token = page.next_page_token
        if not token:
            break

    assert found == expected


def test_a_page_of_very_long_messages_ends_before_its_limit(
    history: Any, archive: Archive, owner: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("history_service.paging._PAGE_CHARS_MAX", 1000)
    lead, instance = archive.lead(), archive.instance()
    expected = [archive.message(lead, instance, body="x" * length) for length in (400, 400, 400, 5000, 10)]

    pages: list[list[str]] = []
    token = ""
    while True:
        page = history.ListMessages(pb.ListMessagesRequest(lead_id=str(lead), page_token=token), owner)
        pages.append([message.id for message in page.messages])
        token = page.next_page_token
        if not token:
            break

    assert pages == [expected[:2], expected[2:3], expected[3:4], expected[4:]]
    exported = history.ExportMessages(pb.ExportMessagesRequest(lead_id=str(lead)), owner)
    assert [message.id for part in exported for message in part.messages] == expected


def test_a_stranger_and_a_token_for_another_number_find_nothing(
    history: Any, archive: Archive, stranger: str, token_for: Callable[..., str]
):
    mine, other = archive.instance(), archive.instance()
    lead = archive.lead(profile_name="segredo")
    archive.message(lead, mine, body="segredo")
    limited = token_for("padaria", instances=[str(other)])

    for token in (stranger, limited):
        answer = search(history, token, "segredo")
        assert (list(answer.hits), list(answer.leads), answer.total_size) == ([], [], 0)
    with pytest.raises(errors.NotFound):
        search(history, limited, "segredo", filter=pb.MessageFilter(instance_id=str(mine)))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (pb.MessageFilter(direction=pb.INBOUND), ["in"]),
        (pb.MessageFilter(direction=pb.OUTBOUND), ["read", "failed", "photo"]),
        (pb.MessageFilter(type="image"), ["photo"]),
        (pb.MessageFilter(status="read"), ["read"]),
        (pb.MessageFilter(status="failed"), ["failed"]),
        (pb.MessageFilter(status="delivered"), ["in", "photo"]),
        (pb.MessageFilter(query="PHO"), ["photo"]),
        (pb.MessageFilter(query="pho", direction=pb.INBOUND), []),
    ],
)
def test_a_conversation_can_be_filtered(
    history: Any, archive: Archive, owner: str, asked: pb.MessageFilter, found: list[str]
):
    lead, instance = archive.lead(), archive.instance()
    archive.message(lead, instance, body="in", status=1)
    archive.message(lead, instance, body="read", direction=2, status=5)
    archive.message(lead, instance, body="failed", direction=2, status=3)
    archive.message(lead, instance, body="photo", direction=2, status=4, type="image")

    answer = history.ListMessages(pb.ListMessagesRequest(lead_id=str(lead), filter=asked), owner)

    assert [message.body for message in answer.messages] == found
    assert answer.total_size == len(found)
    assert answer.summary.total_messages == 4


@pytest.mark.parametrize("order", [pb.ORDER_ASC, pb.ORDER_DESC])
def test_the_page_around_a_message_goes_on_in_both_directions(
    history: Any, archive: Archive, owner: str, order: Any
):
    lead, instance = archive.lead(), archive.instance()
    every = [archive.message(lead, instance) for _ in range(30)]
    if order == pb.ORDER_DESC:
        every.reverse()
    other = pb.ORDER_ASC if order == pb.ORDER_DESC else pb.ORDER_DESC

    def ask(**how: Any) -> Any:
        return history.ListMessages(pb.ListMessagesRequest(lead_id=str(lead), page_size=7, **how), owner)

    page = ask(order=order, around_message_id=every[15])
    found = [message.id for message in page.messages]
    assert found == every[12:19]
    assert page.total_size == 30
    token = page.next_page_token
    while token:
        following = ask(order=order, page_token=token)
        found += [message.id for message in following.messages]
        token = following.next_page_token
    token = page.previous_page_token
    while token:
        before = ask(order=other, page_token=token)
        found = [*[message.id for message in before.messages][::-1], *found]
        token = before.next_page_token

    assert found == every


def test_the_page_around_the_first_and_the_last_message(history: Any, archive: Archive, owner: str):
    lead, instance = archive.lead(), archive.instance()
    every = [archive.message(lead, instance) for _ in range(10)]

    for place in (0, 9):
        page = history.ListMessages(
            pb.ListMessagesRequest(lead_id=str(lead), page_size=4, around_message_id=every[place]), owner
        )
        assert every[place] in [message.id for message in page.messages]
        assert bool(page.previous_page_token) == (place == 9)
        assert bool(page.next_page_token) == (place == 0)
    with pytest.raises(errors.NotFound):
        history.ListMessages(
            pb.ListMessagesRequest(
                lead_id=str(lead), around_message_id="00000000-0000-4000-8000-000000000000"
            ),
            owner,
        )


def test_what_is_wrong_with_a_filter_is_named(history: Any, archive: Archive, owner: str):
    with pytest.raises(errors.InvalidArgument) as caught:
        history.ListMessages(
            pb.ListMessagesRequest(
                lead_id="00000000-0000-4000-8000-000000000000",
                filter=pb.MessageFilter(
                    type="x" * 65, status="seen", instance_id="7", query="x" * 201, direction=pb.INBOUND
                ),
            ),
            owner,
        )

    assert {fault.name for fault in caught.value.fields} == {
        "filter.type",
        "filter.status",
        "filter.instance_id",
        "filter.query",
    }


def changed(history: Any, token: str, resume_token: str, lead_id: str = "") -> Any:
    return history.ListChanges(pb.ListChangesRequest(lead_id=lead_id, resume_token=resume_token), token)


def touch(archive: Archive, lead: Any, message_ids: list[str], *, is_of_lead: bool = False) -> None:
    archive.conn.execute(
        "INSERT INTO changes (tenant_id, lead_id, message_ids, is_of_lead) VALUES (%s, %s, %s::uuid[], %s)",
        (archive.tenant_id, lead, message_ids, is_of_lead),
    )


def test_what_changed_since_is_told_once(history: Any, archive: Archive, owner: str):
    lead, instance = archive.lead(), archive.instance()
    message = archive.message(lead, instance, body="antes")
    start = changed(history, owner, "")
    assert (list(start.messages), list(start.lead_ids)) == ([], [])

    archive.message(lead, instance, body="depois", wamid="w2")
    touch(archive, lead, [message])
    first = changed(history, owner, start.resume_token, str(lead))
    second = changed(history, owner, first.resume_token)

    assert [found.body for found in first.messages] == ["antes"]
    assert first.messages[0].lead_id == str(lead)
    assert list(second.messages) == []
    assert [found.body for found in changed(history, owner, start.resume_token).messages] == ["antes"]


def test_what_was_committed_late_is_not_missed(history: Any, archive: Archive, owner: str, database: str):
    import psycopg

    lead, instance = archive.lead(), archive.instance()
    first = archive.message(lead, instance, body="primeiro a começar")
    second = archive.message(lead, instance, body="primeiro a terminar")
    start = changed(history, owner, "")
    with psycopg.connect(database) as slow:
        slow.execute(
            "INSERT INTO changes (tenant_id, lead_id, message_ids, is_of_lead)"
            " VALUES (%s, %s, %s::uuid[], false)",
            (archive.tenant_id, lead, [first]),
        )
        touch(archive, lead, [second])
        early = changed(history, owner, start.resume_token)
        slow.commit()
    late = changed(history, owner, early.resume_token)

    assert [found.body for found in early.messages] == ["primeiro a terminar"]
    assert [found.body for found in late.messages] == ["primeiro a começar"]


def test_who_was_away_too_long_is_told_to_reload(
    history: Any, archive: Archive, owner: str, monkeypatch: pytest.MonkeyPatch
):
    lead = archive.lead()
    archive.message(lead, archive.instance())
    start = changed(history, owner, "")
    monkeypatch.setattr("protos.changes.KEPT", timedelta(minutes=1))

    answer = changed(history, owner, start.resume_token)

    assert answer.must_reload
    assert answer.resume_token
    with pytest.raises(errors.InvalidArgument):
        changed(history, owner, "forged")


def test_a_stranger_hears_nothing(
    history: Any, archive: Archive, owner: str, stranger: str, token_for: Callable[..., str]
):
    mine, other = archive.instance(), archive.instance()
    lead = archive.lead()
    message = archive.message(lead, mine)
    start = changed(history, owner, "").resume_token
    touch(archive, lead, [message], is_of_lead=True)

    assert changed(history, owner, start).lead_ids == [str(lead)]
    for token in (stranger, token_for("padaria", instances=[str(other)])):
        answer = changed(history, token, start)
        assert (list(answer.messages), list(answer.lead_ids)) == ([], [])
        with pytest.raises(errors.NotFound):
            changed(history, token, start, str(lead))


def test_an_export_is_every_message_in_order(
    history: Any, archive: Archive, owner: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("history_service.service._EXPORT_PAGE", 4)
    lead, instance = archive.lead(), archive.instance()
    every = [archive.message(lead, instance) for _ in range(18)]

    pages = list(history.ExportMessages(pb.ExportMessagesRequest(lead_id=str(lead)), owner))

    assert [message.id for page in pages for message in page.messages] == every
    assert len(pages) == 5


def test_a_watch_tells_what_happens(history: Any, archive: Archive, owner: str):
    lead, instance = archive.lead(), archive.instance()
    message = archive.message(lead, instance, body="oi")
    heard: list[Any] = []
    first = threading.Event()

    def listen() -> None:
        for answer in history.WatchMessages(pb.ListChangesRequest(lead_id=str(lead)), owner):
            heard.append(answer)
            first.set()
            if answer.messages:
                return

    listener = threading.Thread(target=listen)
    listener.start()
    assert first.wait(5)
    touch(archive, lead, [message])
    listener.join(5)

    assert [[found.body for found in answer.messages] for answer in heard] == [[], ["oi"]]


def test_the_gateway_hears_which_leads_were_touched(
    history: Any, archive: Archive, owner: str, token_for: Callable[..., str]
):
    lead = archive.lead()
    heard: set[tuple[str, str]] = set()
    begun = threading.Event()

    def listen() -> None:
        own = token_for("", scopes=["service"])
        for answer in history.WatchLeads(pb.WatchLeadsRequest(), own):
            begun.set()
            heard.update((touched.tenant, touched.lead_id) for touched in answer.touches)
            if heard:
                return

    listener = threading.Thread(target=listen)
    listener.start()
    assert begun.wait(5)
    deadline = time.monotonic() + 5
    while not heard and time.monotonic() < deadline:
        touch(archive, lead, [])
        time.sleep(0.2)
    listener.join(5)

    assert heard == {("padaria", str(lead))}


def test_one_look_tells_several_what_changed_and_records_it_in_their_names(
    history: Any, archive: Archive, owner: str, colleague: str, token_for: Callable[..., str]
):
    instance = archive.instance()
    ana, bia = archive.lead(), archive.lead()
    for lead in (ana, bia):
        archive.message(lead, instance)
    gateway = token_for("padaria", subject="gateway", scopes=["history:read", "service"])
    start = history.ListChanges(pb.ListChangesRequest(), owner).resume_token
    for lead in (ana, bia):
        touch(archive, lead, [archive.message(lead, instance, body="novo")])
    watchers = [
        pb.Watcher(subject=subject, lead_id=str(lead), request_id="r")
        for subject, lead in (("x", ana), ("y", ana))
    ]

    only_ana = history.ListChanges(pb.ListChangesRequest(resume_token=start, watchers=watchers), gateway)
    watchers.append(pb.Watcher(subject="z"))
    of_all = history.ListChanges(pb.ListChangesRequest(resume_token=start, watchers=watchers), gateway)

    assert {message.lead_id for message in only_ana.messages} == {str(ana)}
    assert {message.lead_id for message in of_all.messages} == {str(ana), str(bia)}
    entries = history.ListAudit(pb.ListAuditRequest(), token_for("padaria", scopes=["audit:read"])).entries
    assert sorted((entry.subject, entry.lead_id, entry.count) for entry in entries) == sorted(
        [("x", str(ana), 1), ("y", str(ana), 1)] * 2 + [("z", "", 2)]
    )
    with pytest.raises(errors.PermissionDenied):
        history.ListChanges(pb.ListChangesRequest(resume_token=start, watchers=watchers), colleague)


def test_what_came_after_a_moment_is_left_for_the_next_answer(history: Any, archive: Archive, owner: str):
    lead, instance = archive.lead(), archive.instance()
    archive.message(lead, instance)
    start = history.ListChanges(pb.ListChangesRequest(), owner).resume_token
    first = archive.message(lead, instance)
    touch(archive, lead, [first])
    middle = history.ListChanges(pb.ListChangesRequest(), owner).resume_token
    second = archive.message(lead, instance)
    touch(archive, lead, [second])

    until = history.ListChanges(pb.ListChangesRequest(resume_token=start, until_token=middle), owner)
    after = history.ListChanges(pb.ListChangesRequest(resume_token=middle), owner)

    assert [message.id for message in until.messages] == [first]
    assert until.resume_token == middle
    assert [message.id for message in after.messages] == [second]


def test_every_read_is_on_record_before_its_answer(
    history: Any, archive: Archive, owner: str, colleague: str
):
    lead, instance = archive.lead(), archive.instance()
    for _ in range(3):
        archive.message(lead, instance)
    history.ListMessages(pb.ListMessagesRequest(lead_id=str(lead), page_size=2), colleague)
    history.GetLead(pb.GetLeadRequest(lead_id=str(lead)), colleague)
    search(history, colleague, "mensagem")
    history.ListLeads(pb.ListLeadsRequest(), colleague)
    list(history.ExportMessages(pb.ExportMessagesRequest(lead_id=str(lead)), colleague))

    entries = history.ListAudit(pb.ListAuditRequest(), owner).entries

    assert sorted((entry.action, entry.lead_id, entry.count) for entry in entries) == sorted(
        [
            ("messages.export", str(lead), 3),
            ("leads.list", str(lead), 1),
            ("messages.search", str(lead), 3),
            ("lead.read", str(lead), 1),
            ("messages.read", str(lead), 2),
        ]
    )
    assert {entry.subject for entry in entries} == {"caio"}
    assert all(entry.request_id for entry in entries)
    of_lead = history.ListAudit(pb.ListAuditRequest(lead_id=str(lead), subject="caio", page_size=2), owner)
    assert len(of_lead.entries) == 2
    rest = history.ListAudit(
        pb.ListAuditRequest(lead_id=str(lead), page_token=of_lead.next_page_token), owner
    )
    assert len(rest.entries) == 3


def test_the_record_is_for_those_who_may_see_it(
    history: Any, archive: Archive, colleague: str, stranger: str, token_for: Callable[..., str]
):
    instance = archive.instance()
    archive.message(archive.lead(), instance)
    history.ListLeads(pb.ListLeadsRequest(), colleague)
    limited = token_for("padaria", scopes=["audit:read"], instances=[str(instance)])

    with pytest.raises(errors.PermissionDenied):
        history.ListAudit(pb.ListAuditRequest(), colleague)
    with pytest.raises(errors.PermissionDenied):
        history.ListAudit(pb.ListAuditRequest(), limited)
    assert list(history.ListAudit(pb.ListAuditRequest(), stranger).entries) == []


def test_what_cannot_be_recorded_is_not_answered(history: Any, archive: Archive, owner: str):
    lead = archive.lead()
    archive.message(lead, archive.instance())
    archive.conn.execute("REVOKE INSERT ON audit_log FROM recado_history")

    with pytest.raises(errors.RecadoError):
        history.ListMessages(pb.ListMessagesRequest(lead_id=str(lead)), owner)


def test_coverage_of_a_lead_is_by_number(history: Any, archive: Archive, owner: str, stranger: str):
    lead, instance = archive.lead(), archive.instance()
    archive.message(lead, instance)
    since = datetime(2026, 5, 12, tzinfo=UTC)
    archive.conn.execute("UPDATE whatsapp_configs SET webhook_activated_at = %s", (since,))

    [found] = history.GetCoverage(pb.GetCoverageRequest(lead_id=str(lead)), owner).conversations

    assert found.instance_id == str(instance)
    assert [(interval.route, interval.from_time.ToDatetime(UTC)) for interval in found.intervals] == [
        ("live", since)
    ]
    assert [(gap.reason, gap.to_time.ToDatetime(UTC)) for gap in found.gaps] == [("before_connection", since)]
    with pytest.raises(errors.NotFound):
        history.GetCoverage(pb.GetCoverageRequest(lead_id=str(lead)), stranger)


def test_who_leaves_streams_unread_keeps_nobody_else_from_theirs(
    history: Any, archive: Archive, owner: str, colleague: str, monkeypatch: pytest.MonkeyPatch
):
    lead, instance = archive.lead(), archive.instance()
    archive.message(lead, instance)
    monkeypatch.setattr(service, "_STREAMS_OF_ONE_MAX", 1)
    begun = history.WatchMessages(pb.ListChangesRequest(), owner)
    next(begun)

    with pytest.raises(errors.ResourceExhausted):
        list(history.ExportMessages(pb.ExportMessagesRequest(lead_id=str(lead)), owner))

    list(history.ExportMessages(pb.ExportMessagesRequest(lead_id=str(lead)), colleague))
    begun.close()
