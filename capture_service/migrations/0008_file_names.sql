-- A document is found by the name of its file as well, which people see beside its caption.

-- What of a message people look for: what it says now, and the name of its file; nothing once it is revoked.
-- The name is read out of the text of the document (the content is kept as text, see 0002_history.sql).
CREATE FUNCTION public.recado_sought(shown text, body text, content text) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE
    WHEN shown = '' OR content IS NULL THEN coalesce(shown, body)
    ELSE concat_ws(' ', coalesce(shown, body), substring(content FROM '"filename":"((?:[^"\\]|\\.)*)"'))
  END;

DROP INDEX whatsapp_messages_by_word;
CREATE INDEX whatsapp_messages_by_word ON whatsapp_messages
  USING gin (tenant_id, public.recado_words(public.recado_sought(shown, body, content)))
  WITH (gin_pending_list_limit = 512)
  WHERE lead_id IS NOT NULL;
