-- What has become part of a lead: asked for when two leads are proven to be one person, and when they are parted.
CREATE INDEX leads_by_survivor ON leads (tenant_id, merged_into) WHERE merged_into IS NOT NULL;
