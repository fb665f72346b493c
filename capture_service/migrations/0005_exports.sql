-- Exports of many leads: asked for, made by a job, fetched as a file.
CREATE TABLE exports (
  tenant_id int4 NOT NULL,
  id uuid NOT NULL,
  requested_by text COLLATE "C" NOT NULL,
  -- What the token opened that asked for it; NULL is all of the tenant's.
  instances uuid[],
  -- JSON: format, language, time zone, leads, times, instance.
  request text NOT NULL,
  status text COLLATE "C" NOT NULL DEFAULT 'pending',
  leads_done int4 NOT NULL DEFAULT 0,
  leads_total int4 NOT NULL DEFAULT 0,
  file_bytes int8 NOT NULL DEFAULT 0,
  error_message text,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  completed_at timestamptz,
  CONSTRAINT exports_id_is_unique PRIMARY KEY (tenant_id, id),
  CONSTRAINT exports_status_is_known CHECK (status IN ('pending', 'in_progress', 'completed', 'failed'))
);
GRANT SELECT, INSERT, UPDATE ON exports TO recado_capture;
