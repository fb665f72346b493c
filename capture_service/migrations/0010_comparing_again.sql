-- A history that comes after an exported chat was imported has the chat compared again: few leads have one.

CREATE INDEX whatsapp_sync_logs_of_chats ON whatsapp_sync_logs (tenant_id, lead_id) WHERE sync_type = 'chat_export';
