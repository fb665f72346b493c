-- One role per service, each with exactly what it needs; grants stand beside the tables. Logins are
-- made by whoever runs the database and are granted these roles; every service connects as its role.
DO $$
DECLARE
  role_name text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['recado_capture', 'recado_history'] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- another database of this cluster is being migrated at the same moment
      END;
    END IF;
  END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO recado_capture, recado_history;
