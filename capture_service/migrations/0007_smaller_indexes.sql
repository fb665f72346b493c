-- Less is written and kept for each message.

-- Both kept the id as well, to the letter of the order that pages have; where two messages share their
-- second, sorting these few while reading costs less than 16 bytes of every message twice over.
-- A page of one lead's history, in either order, and the first and last message of a lead.
DROP INDEX whatsapp_messages_by_lead;
CREATE INDEX whatsapp_messages_by_lead ON whatsapp_messages (tenant_id, lead_id, sent_at);
-- The newest messages of all leads: see 0004_reading.sql.
DROP INDEX whatsapp_messages_by_time;
CREATE INDEX whatsapp_messages_by_time ON whatsapp_messages (tenant_id, (sent_at AT TIME ZONE 'UTC'))
  WHERE lead_id IS NOT NULL;

-- The texts that the business itself sent and that came live: content_rank 5 is the API, 6 an echo.
-- No column here changes with a status, so that a status touches no index at all.
-- What has come since the last examination, and what says the same.
DROP INDEX whatsapp_messages_sent_live;
CREATE INDEX whatsapp_messages_sent_live ON whatsapp_messages (tenant_id, instance_id, batch_id)
  WHERE direction = 2 AND type = 'text' AND content_rank >= 5;
DROP INDEX whatsapp_messages_sent_live_by_text;
CREATE INDEX whatsapp_messages_sent_live_by_text
  ON whatsapp_messages (tenant_id, instance_id, (md5(body)::uuid), batch_id)
  WHERE direction = 2 AND type = 'text' AND content_rank >= 5;
