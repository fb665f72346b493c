-- Messages that are examined for patterns besides the texts behind examined_to: they came late, or are somebody else's
-- than before. Each transaction has rows of its own, so that what is noted during an examination is not forgotten by it.
CREATE TABLE messages_to_examine (
  tenant_id int4 NOT NULL,
  instance_id int4 NOT NULL,
  message_id uuid NOT NULL,
  noted_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
  CONSTRAINT messages_to_examine_are_noted_once_a_transaction
    PRIMARY KEY (tenant_id, instance_id, message_id, noted_in)
);
GRANT SELECT, INSERT, DELETE ON messages_to_examine TO recado_capture;

-- Texts (MD5) that were sent to so many people that their messages are marked, and from which number on they are marked
-- as they are: all of them are examined again only when that changes.
CREATE TABLE repeated_texts (
  tenant_id int4 NOT NULL,
  instance_id int4 NOT NULL,
  digest uuid NOT NULL,
  people_min int2 NOT NULL,
  CONSTRAINT repeated_texts_are_one_per_instance_and_text PRIMARY KEY (tenant_id, instance_id, digest),
  CONSTRAINT repeated_texts_went_to_several_people CHECK (people_min > 1)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON repeated_texts TO recado_capture;

-- To how many people a text was sent: one look for each of the first of them, however often each was sent it.
DROP INDEX whatsapp_messages_sent_live_by_text;
CREATE INDEX whatsapp_messages_sent_live_by_text
  ON whatsapp_messages (tenant_id, instance_id, (md5(body)::uuid), lead_id)
  WHERE direction = 2 AND type = 'text' AND content_rank >= 5;

-- What came late was passed over so far: once more from the beginning.
UPDATE whatsapp_configs SET examined_to = NULL;
