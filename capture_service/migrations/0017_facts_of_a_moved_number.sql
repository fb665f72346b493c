-- A number that becomes another account's takes along what came as about it alone.
GRANT UPDATE (account_id) ON account_events TO recado_capture;
UPDATE account_events e SET account_id = c.waba_id
FROM whatsapp_configs c
WHERE e.tenant_id = c.tenant_id AND e.instance_id = c.id AND e.account_id <> c.waba_id;
