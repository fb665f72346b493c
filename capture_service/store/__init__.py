"""Every SQL statement of the capture service. The caller owns the transaction.

Rows travel as one JSON array per statement (`json_to_recordset`): whatever the size of a batch, it
takes the same handful of statements. Arrays come sorted by their key, so that concurrent batches
take their locks in the same order.
"""

from capture_service.store.account_events import (
    AccountEventRow as AccountEventRow,
    change_connection as change_connection,
    count_account_events as count_account_events,
    insert_account_events as insert_account_events,
    list_account_events as list_account_events,
)
from capture_service.store.changes import (
    LeadTouch as LeadTouch,
    delete_old_changes as delete_old_changes,
    insert_audit as insert_audit,
    insert_changes as insert_changes,
)
from capture_service.store.imports import (
    ImportRow as ImportRow,
    ImportTarget as ImportTarget,
    KnownMessage as KnownMessage,
    find_import as find_import,
    find_import_target as find_import_target,
    insert_import as insert_import,
    instances_of_lead as instances_of_lead,
    list_known as list_known,
    reopen_imports as reopen_imports,
    take_out_of_lead as take_out_of_lead,
)
from capture_service.store.leads import (
    ConversationChange as ConversationChange,
    KnownLead as KnownLead,
    LeadChange as LeadChange,
    LeadProfileRow as LeadProfileRow,
    LeadState as LeadState,
    TicketRow as TicketRow,
    count_tickets as count_tickets,
    find_lead_profile as find_lead_profile,
    find_leads as find_leads,
    find_ticket as find_ticket,
    identifiers_of_lead as identifiers_of_lead,
    insert_identifiers as insert_identifiers,
    insert_tickets as insert_tickets,
    is_lead_visible as is_lead_visible,
    list_tickets as list_tickets,
    recount_lead as recount_lead,
    refresh_dates as refresh_dates,
    set_ticket_closed as set_ticket_closed,
    update_lead_profile as update_lead_profile,
    upsert_conversations as upsert_conversations,
    upsert_leads as upsert_leads,
    visible_leads as visible_leads,
)
from capture_service.store.merges import (
    LeadMergeRow as LeadMergeRow,
    LeadRow as LeadRow,
    delete_empty_conversations as delete_empty_conversations,
    find_open_ticket as find_open_ticket,
    give_back_merged as give_back_merged,
    insert_lead_merge as insert_lead_merge,
    instances_of_messages as instances_of_messages,
    list_lead_merges as list_lead_merges,
    lock_leads as lock_leads,
    lock_survivor as lock_survivor,
    mark_merge_undone as mark_merge_undone,
    move_identifiers as move_identifiers,
    move_messages as move_messages,
    move_rest as move_rest,
    open_missing_conversations as open_missing_conversations,
    set_merged_into as set_merged_into,
    show_lead_as as show_lead_as,
    were_parted as were_parted,
)
from capture_service.store.messages import (
    insert_messages as insert_messages,
    lock_messages as lock_messages,
    update_messages as update_messages,
)
from capture_service.store.outbox import (
    ExportRow as ExportRow,
    OutboxRow as OutboxRow,
    claim_outbox_rows as claim_outbox_rows,
    delete_outbox_row as delete_outbox_row,
    find_export as find_export,
    give_back_outbox_row as give_back_outbox_row,
    insert_export as insert_export,
    insert_outbox_rows as insert_outbox_rows,
    postpone_outbox_row as postpone_outbox_row,
    update_export as update_export,
)
from capture_service.store.patterns import (
    SameText as SameText,
    Unexamined as Unexamined,
    list_same_texts as list_same_texts,
    list_unexamined as list_unexamined,
    mark_patterns as mark_patterns,
    note_examined as note_examined,
)
from capture_service.store.routes import (
    InstanceRow as InstanceRow,
    Route as Route,
    delete_idle_account_routes as delete_idle_account_routes,
    find_routes as find_routes,
    find_tenant as find_tenant,
    insert_route as insert_route,
    insert_tenant as insert_tenant,
    list_instances as list_instances,
    routes_of_tenant as routes_of_tenant,
    tenant_names as tenant_names,
    upsert_instance as upsert_instance,
)
from capture_service.store.rows import (
    NO_TENANT as NO_TENANT,
    IdentifierKey as IdentifierKey,
    LeadKey as LeadKey,
    RouteKey as RouteKey,
)
from capture_service.store.syncs import (
    HistoryRow as HistoryRow,
    NewSync as NewSync,
    SyncLogRow as SyncLogRow,
    add_to_sync as add_to_sync,
    count_syncs as count_syncs,
    end_idle_histories as end_idle_histories,
    find_history as find_history,
    find_running_recovery as find_running_recovery,
    find_sync as find_sync,
    insert_history as insert_history,
    insert_initial_syncs as insert_initial_syncs,
    insert_recovery as insert_recovery,
    latest_histories as latest_histories,
    list_syncs as list_syncs,
    note_sync_of_instances as note_sync_of_instances,
    update_history as update_history,
    update_sync as update_sync,
)
from capture_service.store.webhooks import (
    BatchRow as BatchRow,
    FailureRow as FailureRow,
    KeptWebhook as KeptWebhook,
    LedgerFilter as LedgerFilter,
    LedgerRow as LedgerRow,
    batches_of_account_events as batches_of_account_events,
    batches_of_messages as batches_of_messages,
    count_failures as count_failures,
    count_ledger_rows as count_ledger_rows,
    delete_ledger_row as delete_ledger_row,
    find_batch as find_batch,
    insert_ledger_rows as insert_ledger_rows,
    list_failures as list_failures,
    list_forgotten as list_forgotten,
    list_ledger_rows as list_ledger_rows,
    tenants_awaited as tenants_awaited,
    update_ledger_row as update_ledger_row,
)
