"""PostgreSQL reads a page as a range of an index, so that any depth has one price."""

import uuid
from datetime import UTC, datetime
from typing import Any, Self

import psycopg
import pytest

from history_service import store
from tests.history_service.archive import Archive

NOW = datetime(2026, 11, 1, tzinfo=UTC)


class Explaining:
    """A connection that gives no rows and keeps the plans."""

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self._conn = conn
        self.plan = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def cursor(self, **_how: Any) -> Self:
        return self

    def execute(self, statement: str, parameters: Any = None, **_how: Any) -> Self:
        if statement.startswith("SET "):
            return self
        rows: Any = self._conn.execute(("EXPLAIN " + statement).encode(), parameters)
        self.plan = "\n".join(line for (line,) in rows)
        return self

    def fetchone(self) -> None:
        return None

    def fetchall(self) -> list[Any]:
        return []


def only_ties_are_sorted(plan: str) -> bool:
    """Tell whether the rows come in the order of time already, so that only equal moments are sorted."""
    return plan.count("Sort  (") == plan.count("Incremental Sort  (") == plan.count("Presorted Key: ")


@pytest.fixture
def explaining(archive: Archive) -> Explaining:
    # A planner with a choice takes a small table whole, whatever its indexes; it is not to have one.
    archive.conn.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
    return Explaining(archive.conn)


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize("from_time", [None, NOW])
def test_a_page_of_messages_is_a_range_of_the_index(
    explaining: Any, is_descending: bool, from_time: datetime | None
):
    store.list_messages(
        explaining,
        store.MessageFilter(tenant_id=1, lead_id=uuid.uuid4(), instance_ids=[1], from_time=from_time),
        is_descending=is_descending,
        after=(NOW, uuid.uuid4()),
        count_max=101,
    )

    [condition] = [
        line for line in explaining.plan.splitlines() if "Index Cond" in line and "lead_id" in line
    ]
    assert "(sent_at <= " in condition if is_descending else "(sent_at >= " in condition
    assert "whatsapp_messages_by_lead" in explaining.plan
    assert only_ties_are_sorted(explaining.plan)


def test_words_are_found_by_their_index(explaining: Any, archive: Archive):
    instance = archive.instance()
    archive.message(archive.lead(), instance)
    archive.conn.execute(
        """
        INSERT INTO whatsapp_messages (tenant_id, instance_id, id, lead_id, batch_id, sent_at, direction,
          status, sources, content_rank, party_rank, wamid, type, body)
        SELECT m.tenant_id, m.instance_id, gen_random_uuid(), gen_random_uuid(), m.batch_id,
          m.sent_at + n * interval '1 minute', 1, 4, 16, 0, 0, n::text, 'text', 'assunto ' || n
        FROM whatsapp_messages m CROSS JOIN generate_series(1, 3000) AS n
        """
    )
    archive.conn.execute("ANALYZE whatsapp_messages; RESET ALL")

    store.list_matches(
        explaining,
        store.MessageFilter(tenant_id=archive.tenant_id, words="'assunto':* & '2048'"),
        is_descending=True,
        after=None,
        count_max=21,
        bound=1000,
    )

    assert "Bitmap Index Scan on whatsapp_messages_by_word" in explaining.plan


def test_words_that_are_everywhere_are_found_by_going_through_the_newest(explaining: Any):
    store.list_messages(
        explaining,
        store.MessageFilter(tenant_id=1, words="'bom':*"),
        is_descending=True,
        after=(NOW, uuid.uuid4()),
        count_max=21,
    )

    assert "whatsapp_messages_by_time" in explaining.plan
    assert only_ties_are_sorted(explaining.plan)


@pytest.mark.parametrize("last_message_at", [None, NOW])
def test_a_page_of_leads_is_a_range_of_the_index(explaining: Any, last_message_at: datetime | None):
    store.list_leads(
        explaining,
        store.Access(1),
        store.LeadSearch(words=[], numbers=[]),
        after=(last_message_at, uuid.uuid4()),
        count_max=101,
    )

    conditions = [line for line in explaining.plan.splitlines() if "last_message_at" in line]
    assert conditions
    assert all("Index Cond" in condition for condition in conditions)
    assert "leads_by_last_message" in explaining.plan


@pytest.mark.parametrize(
    ("text", "numbers", "index"),
    [
        ("pessoa 2048", [], "lead_names_by_part"),
        ("11987652048", ["11987652048"], "lead_identifiers_by_part"),
    ],
)
def test_people_are_found_by_the_indexes_of_names_and_numbers(
    explaining: Any, archive: Archive, text: str, numbers: list[str], index: str
):
    archive.conn.execute(
        """
        WITH met AS (
          INSERT INTO leads (tenant_id, id, profile_name)
          SELECT %(tenant_id)s, gen_random_uuid(), 'Pessoa ' || n FROM generate_series(1, 5000) AS n
          RETURNING id, profile_name
        )
        INSERT INTO lead_identifiers (tenant_id, kind, value, lead_id)
        SELECT %(tenant_id)s, 'wa_id', '551198765' || lpad(substr(profile_name, 8), 4, '0'), id FROM met
        """,
        {"tenant_id": archive.tenant_id},
    )
    archive.conn.execute("SELECT gin_clean_pending_list(%s)", (index,))
    archive.conn.execute("ANALYZE leads, lead_names, lead_identifiers; RESET ALL")

    store.count_leads(
        explaining, store.Access(archive.tenant_id), store.LeadSearch(words=text.split(), numbers=numbers)
    )

    assert f"Bitmap Index Scan on {index}" in explaining.plan
