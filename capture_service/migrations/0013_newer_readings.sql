-- By which version of the parser a message's content, and who it is between, were read: a newer reading of the same
-- route takes the place of an older one when the ledger is replayed.
ALTER TABLE whatsapp_messages
  ADD COLUMN content_version int2 NOT NULL DEFAULT 0,
  ADD COLUMN party_version int2 NOT NULL DEFAULT 0;
