-- Whether webhooks of nobody wait for a number that is registered: asked for each number, every few seconds.
CREATE INDEX whatsapp_webhook_logs_awaiting ON whatsapp_webhook_logs USING gin (awaits) WHERE state = 'unrouted';

-- The acts of a lead, which are in nobody's conversation: a merge moves them.
CREATE INDEX whatsapp_messages_by_actor ON whatsapp_messages (tenant_id, act_lead_id) WHERE act_lead_id IS NOT NULL;
