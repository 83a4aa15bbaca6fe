-- Everybody who was ever shown a secret of a token, and could act as its user: the one who made it, and whoever rotated it.
-- Nobody is forgotten.

ALTER TABLE tenantry.token ADD COLUMN shown_to text[];
UPDATE tenantry.token SET shown_to = ARRAY[created_by];
ALTER TABLE tenantry.token ALTER COLUMN shown_to SET NOT NULL;
