-- What reading needs: search, the feed of changes, the record of who read what.

-- Both are trusted extensions of PostgreSQL's own distribution: the owner of a database may create them.
CREATE EXTENSION IF NOT EXISTS unaccent WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA public;

-- Words without case and accents, in whatever language. Stems are a matter of the question: searching for
-- a prefix of a word finds its other forms, and the index needs no language.
CREATE TEXT SEARCH CONFIGURATION public.recado (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION public.recado
  ALTER MAPPING FOR asciiword, word, numword, asciihword, hword, numhword, hword_asciipart, hword_part,
    hword_numpart WITH public.unaccent, simple;

-- ASCII punctuation parts words: what PostgreSQL's parser would take for an address, a host name or a
-- negative number is found by each of its parts. Of a longer text the first 65,536 characters.
CREATE FUNCTION public.recado_words(told text) RETURNS tsvector
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN to_tsvector(
    'public.recado'::regconfig,
    translate(
      normalize(left(told, 65536), NFKC),
      '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~',
      '                                '
    )
  );

-- What a message says now, where that is not its body: the text of its last edit, '' once it is revoked.
ALTER TABLE whatsapp_messages ADD COLUMN shown text COLLATE "C";
-- GET /messages/search. New words wait in a list that every search reads as well: it is kept short.
CREATE INDEX whatsapp_messages_by_word ON whatsapp_messages
  USING gin (tenant_id, public.recado_words(coalesce(shown, body)))
  WITH (gin_pending_list_limit = 512)
  WHERE lead_id IS NOT NULL;
-- The newest messages of all leads: the search for words that are in very many. Written so that only a
-- query that asks for it by this very expression can use it: a page of one lead never does.
CREATE INDEX whatsapp_messages_by_time ON whatsapp_messages (tenant_id, (sent_at AT TIME ZONE 'UTC'), id)
  WHERE lead_id IS NOT NULL;

-- What changed, for those who watch: one row per transaction and lead, kept for an hour. A reader that
-- names the snapshot it has seen is given exactly what was not visible in it.
CREATE TABLE changes (
  tenant_id int4 NOT NULL,
  lead_id uuid NOT NULL,
  changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
  changed_at timestamptz NOT NULL DEFAULT now(),
  message_ids uuid[] NOT NULL,
  -- The lead itself: how it is shown, or which one it is part of.
  is_of_lead bool NOT NULL,
  -- Also: what changed of one lead since.
  CONSTRAINT changes_are_one_per_lead_and_transaction PRIMARY KEY (tenant_id, lead_id, changed_in)
);
-- What changed at all since, and what is old enough to go.
CREATE INDEX changes_in_order ON changes (changed_in);

-- Who read or changed what. Rows are only ever added.
CREATE TABLE audit_log (
  tenant_id int4 NOT NULL,
  id uuid NOT NULL,
  happened_at timestamptz NOT NULL,
  subject text COLLATE "C" NOT NULL,
  -- What was done, such as messages.read.
  action text COLLATE "C" NOT NULL,
  lead_id uuid,
  -- How many of what was asked for were given.
  count int4 NOT NULL,
  request_id text COLLATE "C" NOT NULL,
  CONSTRAINT audit_log_id_is_unique PRIMARY KEY (tenant_id, id)
);
-- GET /audit of one lead.
CREATE INDEX audit_log_by_lead ON audit_log (tenant_id, lead_id, id) WHERE lead_id IS NOT NULL;

-- GET /leads/{id}/tickets.
CREATE INDEX tickets_by_lead ON tickets (tenant_id, lead_id, id);
-- GET /leads/{id}/syncs, and the coverage of a lead.
CREATE INDEX whatsapp_sync_logs_by_lead ON whatsapp_sync_logs (tenant_id, lead_id, id) WHERE lead_id IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON changes TO recado_capture;
GRANT SELECT ON changes TO recado_history;
GRANT INSERT ON audit_log TO recado_capture;
GRANT SELECT, INSERT ON audit_log TO recado_history;
