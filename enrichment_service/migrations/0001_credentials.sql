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

-- The service knows tenants by the name in their tokens; it shares no table with the others.
CREATE TABLE enrichment.credentials (
  tenant_id text COLLATE "C" NOT NULL,
  instance_id uuid NOT NULL,
  -- AES-256-GCM, bound to tenant and instance; the key's id stands in front.
  sealed_token bytea NOT NULL,
  key_id text COLLATE "C" NOT NULL,
  stored_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT credentials_are_one_per_instance PRIMARY KEY (tenant_id, instance_id)
);

-- What the Graph API has refused an instance, so that it is not asked again at every contact.
CREATE TABLE enrichment.refusals (
  tenant_id text COLLATE "C" NOT NULL,
  instance_id uuid NOT NULL,
  endpoint text COLLATE "C" NOT NULL,
  outcome text COLLATE "C" NOT NULL,
  error_code int4,
  until_at timestamptz NOT NULL,
  CONSTRAINT refusals_are_one_per_endpoint PRIMARY KEY (tenant_id, instance_id, endpoint)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON enrichment.credentials, enrichment.refusals TO recado_enrichment;
