-- Finding a person among hundreds of thousands by any part of a name or a number.

-- A trusted extension of PostgreSQL's own distribution: the owner of a database may create it.
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

-- A name as names are compared: without case and accents, ornamental letters as the plain ones they
-- stand for (people write their names in bold or in script).
CREATE FUNCTION public.recado_comparable(told text) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN lower(
    public.unaccent('public.unaccent'::regdictionary, normalize(told, NFKC)) COLLATE "default"
  );

-- The pattern of LIKE for what holds a text, compared so.
CREATE FUNCTION public.recado_holding(sought text) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN '%' || regexp_replace(btrim(public.recado_comparable(sought)), '([\\%_])', '\\\1', 'g') || '%';

-- Apart from the leads: these are written with every message, and their names hardly ever.
CREATE TABLE lead_names (
  tenant_id int4 NOT NULL,
  lead_id uuid NOT NULL,
  -- All names of a lead, a line each, comparable.
  names text COLLATE "C" NOT NULL,
  CONSTRAINT lead_names_are_one_row_per_lead PRIMARY KEY (tenant_id, lead_id),
  CONSTRAINT lead_names_lead_exists
    FOREIGN KEY (tenant_id, lead_id) REFERENCES leads (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX lead_names_by_part ON lead_names USING gin (tenant_id, names gin_trgm_ops);
CREATE INDEX lead_identifiers_by_part ON lead_identifiers USING gin (tenant_id, value gin_trgm_ops)
  WHERE kind IN ('wa_id', 'phone_alias');

GRANT SELECT, INSERT, UPDATE ON lead_names TO recado_capture;
GRANT SELECT ON lead_names TO recado_history;

CREATE FUNCTION public.keep_lead_names() RETURNS trigger
  LANGUAGE plpgsql
  AS $$
  BEGIN
    INSERT INTO public.lead_names (tenant_id, lead_id, names)
    VALUES (
      NEW.tenant_id,
      NEW.id,
      public.recado_comparable(
        concat_ws(E'\n', NEW.saved_name, NEW.profile_name, NEW.username, NEW.profile ->> 'name')
      )
    )
    ON CONFLICT (tenant_id, lead_id) DO UPDATE SET names = excluded.names;
    RETURN NULL;
  END
  $$;

CREATE TRIGGER leads_keep_their_names AFTER INSERT ON leads
  FOR EACH ROW EXECUTE FUNCTION public.keep_lead_names();
CREATE TRIGGER leads_renamed_keep_their_names AFTER UPDATE ON leads
  FOR EACH ROW
  WHEN (
    (OLD.saved_name, OLD.profile_name, OLD.username, OLD.profile ->> 'name')
    IS DISTINCT FROM (NEW.saved_name, NEW.profile_name, NEW.username, NEW.profile ->> 'name')
  )
  EXECUTE FUNCTION public.keep_lead_names();

INSERT INTO lead_names (tenant_id, lead_id, names)
SELECT
  tenant_id, id,
  public.recado_comparable(concat_ws(E'\n', saved_name, profile_name, username, profile ->> 'name'))
FROM leads;
