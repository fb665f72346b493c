-- What other messages said of this one: reactions, edits, revokes, the events of a call. Sets, so that
-- it does not matter whether they or their target came first.
-- A reaction, edit or revoke is in nobody's conversation (lead_id is NULL): it is shown on its target.
ALTER TABLE whatsapp_messages
  ADD COLUMN mentions text COLLATE "C",
  ADD COLUMN act_lead_id uuid;

-- Of two numbers, user ids or user names of one person, the one said last is shown.
ALTER TABLE leads
  ADD COLUMN wa_id_at timestamptz,
  ADD COLUMN user_id_at timestamptz,
  ADD COLUMN username_at timestamptz,
  -- The lead that this one was found to be the same person as; it has nothing of its own any more.
  ADD COLUMN merged_into uuid;

-- Two leads proven to be one person, and what is needed to part them again.
CREATE TABLE lead_merges (
  tenant_id int4 NOT NULL,
  id uuid NOT NULL,
  survivor_id uuid NOT NULL,
  merged_id uuid NOT NULL,
  -- JSON array of [kind, value]: what moved.
  identifiers text NOT NULL,
  message_ids uuid[] NOT NULL,
  -- JSON: how the survivor was shown before.
  survivor_before text NOT NULL,
  merged_at timestamptz NOT NULL,
  undone_at timestamptz,
  CONSTRAINT lead_merges_id_is_unique PRIMARY KEY (tenant_id, id)
);
-- What was merged into a lead, and whether two leads were once parted by hand.
CREATE INDEX lead_merges_by_survivor ON lead_merges (tenant_id, survivor_id);

-- Facts about the account: everything a webhook says beyond messages and people. The id follows from
-- field, account, time and value, so that a repeated webhook adds nothing.
CREATE TABLE account_events (
  tenant_id int4 NOT NULL,
  id uuid NOT NULL,
  -- NULL where it concerns every number of the account.
  instance_id int4,
  account_id text COLLATE "C" NOT NULL,
  field text COLLATE "C" NOT NULL,
  event text COLLATE "C" NOT NULL,
  -- When the webhook says it happened, else when it came.
  happened_at timestamptz NOT NULL,
  batch_id uuid NOT NULL,
  -- The value, as a JSON object.
  told text COLLATE "C" NOT NULL,
  CONSTRAINT account_events_are_one_per_fact PRIMARY KEY (tenant_id, id)
);
-- GET /instances/{id}/events, newest first.
CREATE INDEX account_events_by_account ON account_events (tenant_id, account_id, happened_at, id);

ALTER TABLE whatsapp_configs
  ADD COLUMN connection_state text NOT NULL DEFAULT 'connected',
  ADD COLUMN connection_reason text,
  ADD COLUMN connection_changed_at timestamptz,
  ADD CONSTRAINT whatsapp_configs_connection_state_is_known
    CHECK (connection_state IN ('connected', 'disconnected', 'offboarded', 'disabled', 'deleted'));

-- A webhook that is kept and answered first, and applied in the background.
ALTER TABLE whatsapp_webhook_logs
  DROP CONSTRAINT whatsapp_webhook_logs_state_is_known,
  ADD CONSTRAINT whatsapp_webhook_logs_state_is_known
    CHECK (state IN ('processed', 'unrouted', 'failed', 'ignored', 'pending'));
DROP INDEX whatsapp_webhook_logs_not_applied;
CREATE INDEX whatsapp_webhook_logs_not_applied
  ON whatsapp_webhook_logs (tenant_id, state, id) WHERE state IN ('failed', 'unrouted', 'pending');

-- Of a history_import: JSON, how far each phase has come; of a chat_export: what was found.
ALTER TABLE whatsapp_sync_logs ADD COLUMN detail text, ADD COLUMN updated_at timestamptz;
-- One history of an instance arrives at a time.
CREATE UNIQUE INDEX whatsapp_sync_logs_one_history_arrives_per_instance
  ON whatsapp_sync_logs (tenant_id, instance_id)
  WHERE sync_type = 'history_import' AND status IN ('pending', 'in_progress');
-- The latest history of an instance.
CREATE INDEX whatsapp_sync_logs_by_instance
  ON whatsapp_sync_logs (tenant_id, instance_id, id) WHERE instance_id IS NOT NULL;

GRANT SELECT, INSERT, UPDATE ON lead_merges TO recado_capture;
GRANT SELECT, INSERT ON account_events TO recado_capture;
-- A merged lead's conversations become the survivor's.
GRANT DELETE ON conversations TO recado_capture;

-- The texts of imported chats, as long as the sync log that says what became of them: the ledger of
-- what did not come from Meta.
CREATE TABLE chat_imports (
  tenant_id int4 NOT NULL,
  id uuid NOT NULL,
  -- JSON: business participant, time zone, date order.
  request text NOT NULL,
  media_names text[] NOT NULL,
  -- zstd.
  text bytea NOT NULL,
  CONSTRAINT chat_imports_id_is_unique PRIMARY KEY (tenant_id, id),
  CONSTRAINT chat_imports_sync_exists
    FOREIGN KEY (tenant_id, id) REFERENCES whatsapp_sync_logs (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE chat_imports ALTER COLUMN text SET STORAGE EXTERNAL;
GRANT SELECT, INSERT ON chat_imports TO recado_capture;

-- Up to which batch the texts of an instance were examined for patterns.
ALTER TABLE whatsapp_configs ADD COLUMN examined_to uuid;
-- The texts that the business itself sent and that came live: 8 echo, 32 API; 2 and 4 are history.
-- What has come since the last examination, and what says the same.
CREATE INDEX whatsapp_messages_sent_live ON whatsapp_messages (tenant_id, instance_id, batch_id)
  WHERE direction = 2 AND type = 'text' AND sources & 40 <> 0 AND sources & 6 = 0;
CREATE INDEX whatsapp_messages_sent_live_by_text ON whatsapp_messages (tenant_id, instance_id, md5(body), batch_id)
  WHERE direction = 2 AND type = 'text' AND sources & 40 <> 0 AND sources & 6 = 0;
