-- Only the enrichment service may read what stands here.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'recado_enrichment') THEN
    BEGIN
      CREATE ROLE recado_enrichment NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- another database of this cluster is being migrated at the same moment
    END;
  END IF;
END
$$;

CREATE SCHEMA enrichment;
GRANT USAGE ON SCHEMA enrichment TO recado_enrichment;

-- tenant_id is the tenant's name, as tokens carry it: this service shares no table with the others,
-- so the number that capture gives a tenant is not known here.
CREATE TABLE enrichment.credentials (
  tenant_id text COLLATE "C" NOT NULL,
  instance_id uuid NOT NULL,
  -- AES-256-GCM, bound to tenant and instance; the key's id stands in front, and again in key_id so
  -- that a rotation finds what is left to do.
  sealed_token bytea NOT NULL,
  key_id text COLLATE "C" NOT NULL,
  stored_at timestamptz NOT NULL,
  CONSTRAINT credentials_are_one_per_instance PRIMARY KEY (tenant_id, instance_id),
  CONSTRAINT credentials_belong_to_a_tenant CHECK (tenant_id <> ''),
  CONSTRAINT credentials_are_sealed
    CHECK (substring(sealed_token FOR length(key_id) + 1) = convert_to(key_id || ':', 'UTF8'))
);
GRANT SELECT, INSERT, UPDATE ON enrichment.credentials TO recado_enrichment;

-- Endpoints that the Graph API closed to an instance for a while, so that it is not asked again at
-- every contact. A new access token clears them.
CREATE TABLE enrichment.refusals (
  tenant_id text COLLATE "C" NOT NULL,
  instance_id uuid NOT NULL,
  endpoint text COLLATE "C" NOT NULL,
  outcome text COLLATE "C" NOT NULL,
  -- What Meta called it; NULL where it gave no code.
  error_code int8,
  until_at timestamptz NOT NULL,
  CONSTRAINT refusals_are_one_per_endpoint PRIMARY KEY (tenant_id, instance_id, endpoint),
  CONSTRAINT refusals_outcome_is_known CHECK (outcome IN ('refused', 'token_invalid', 'rate_limited'))
);
GRANT SELECT, INSERT, UPDATE, DELETE ON enrichment.refusals TO recado_enrichment;
