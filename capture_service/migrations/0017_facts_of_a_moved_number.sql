-- A number that becomes another account's takes what is about it along.
GRANT UPDATE (account_id) ON account_events TO recado_capture;
