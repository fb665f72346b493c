"""Every benchmark runs against a real stack, in a size that proves nothing but that."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from recado.bench import history, ingest, search, storage, store, target
from recado.bench.commands import bench

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[target.Target]:
    with target.find(tmp_path_factory.mktemp("none"), wants_own=True) as own:
        yield own


def test_ingest_counts_what_it_sent_and_finds_it_again(stack: target.Target):
    told: list[str] = []
    options = ingest.Options(generator="own", rounds=1, seconds=1, rates=(40,), contacts=10, connections=8)

    result = ingest.run(stack, options, told.append)

    assert result.rate > 0
    assert result.floor_rate > 0
    assert result.kept.webhooks_acknowledged > 0
    assert result.kept.webhooks_kept >= result.kept.webhooks_acknowledged
    assert result.kept.webhooks_not_applied == 0
    assert result.kept.messages_checked > 0
    assert result.kept.messages_missing == 0
    assert result.at_rates[0].latency.count > 0
    assert len(told) == ingest.steps(options)


def test_ingest_is_measured_again_while_clients_listen(stack: target.Target):
    options = ingest.Options(
        generator="own", rounds=1, seconds=2, rates=(), contacts=5, connections=4, listeners=5, seed=8
    )

    result = ingest.run(stack, options, lambda _: None)

    [turn] = result.rounds
    assert turn.listened_rate
    assert turn.events_heard
    assert result.kept.messages_missing == 0


def test_search_finds_what_the_bench_wrote_and_exports_all_of_it(stack: target.Target):
    told: list[str] = []
    options = search.Options(messages=2000, searches=4)

    result = search.run(stack, options, told.append)

    found = {case.kind: case.found for case in result.searches}
    assert found["a very frequent word"] > found["a beginning"]
    assert found["nothing"] == 0
    assert all(case.latency.count == 4 for case in result.searches)
    assert {case.kind: case.latency.count for case in result.pages}["time"] == 2
    assert [export.file_format for export in result.exports] == ["jsonl", "csv"]
    assert len({export.messages for export in result.exports}) == 1
    assert len(told) == search.steps(options)


def test_a_message_that_is_not_there_is_missed(stack: target.Target):
    with store.connect(stack.owner_url) as conn:
        missing = store.count_missing(conn, tenant_id=1, message_ids=[target.uuid.UUID(int=1)] * 2)

    assert missing == 1


def test_history_reads_pages_of_both_sizes_in_both_orders(stack: target.Target):
    told: list[str] = []
    options = history.Options(sizes=(800, 2400), pages=2)

    result = history.run(stack, options, told.append)
    again = history.run(stack, options, told.append)

    assert len(result.cases) == 8
    assert {case.latency.count for case in result.cases} == {2}
    assert max(case.depth_max for case in result.cases if case.lead == "large") > 500
    assert len(result.ratios) == 4
    # A tenant that was filled before is used again.
    assert [case.lead_messages for case in again.cases] == [case.lead_messages for case in result.cases]
    assert len(told) == 2 * history.steps(options)


def test_storage_accounts_for_every_table_it_filled(stack: target.Target):
    told: list[str] = []
    options = storage.Options(messages=150)

    result = storage.run(stack, options, told.append)

    tables = {part.table for part in result.parts}
    # More than the whole messages: what only statuses tell of is a row, too.
    assert result.messages >= 150
    assert {"whatsapp_messages", "whatsapp_webhook_logs"} <= tables
    assert result.bytes_per_10k == pytest.approx(sum(part.bytes_per_10k for part in result.parts))
    assert len(told) == storage.steps(options)


def test_the_command_measures_the_stack_it_is_pointed_at(stack: target.Target, tmp_path: Path):
    data = str(stack.connection.data)
    arguments = ["storage", "--data", data, "--messages", "100", "--seed", "11"]

    done = CliRunner().invoke(bench, [*arguments, "--json", str(tmp_path / "s.json")])

    assert done.exit_code == 0, done.output
    assert "Bytes per 10,000 messages" in done.output
    assert "Promises" in done.output
    assert (tmp_path / "s.json").exists()
