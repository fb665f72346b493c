-- Of which number a fact about an account is, where it names one: whether that number is an instance, and of which
-- there may be several, is seen when it is read. Digits as they were told; compared in every form of a number.
ALTER TABLE account_events ADD COLUMN number text COLLATE "C";

UPDATE account_events
SET number = nullif(
  regexp_replace(coalesce(told::json ->> 'display_phone_number', told::json ->> 'phone_number', ''), '[^0-9]', '', 'g'),
  ''
)
WHERE instance_id IS NULL;

-- One that an earlier version kept after this migration gets its number when it is told again.
GRANT UPDATE (number) ON account_events TO recado_capture;
