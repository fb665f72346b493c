-- Of a fact that is told again, when and by which webhook it was told first.

GRANT UPDATE (happened_at, batch_id) ON account_events TO recado_capture;
