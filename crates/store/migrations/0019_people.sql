-- What one tenant was told of a person is that tenant's alone; people are found by their id; what is over is deleted.
--
-- Columns go at once, and not in a later release: no release knew these tables.

ALTER TABLE tenantry.member ADD COLUMN email text, ADD COLUMN email_key text, ADD COLUMN name text;
UPDATE tenantry.member AS m SET email = u.email, email_key = u.email_key, name = u.name
FROM tenantry.user_account AS u WHERE u.env = m.env AND u.id = m.user_id;
ALTER TABLE tenantry.member ALTER COLUMN email SET NOT NULL, ALTER COLUMN email_key SET NOT NULL;
-- Whether a person is a member already, under any variant of their address.
CREATE INDEX member_email ON tenantry.member (env, tenant, email_key);

-- What is left of a user is what the issuer calls them.
DROP INDEX tenantry.user_account_email;
ALTER TABLE tenantry.user_account DROP COLUMN email, DROP COLUMN email_key, DROP COLUMN name, DROP COLUMN updated_at;
-- A path names no environment.
CREATE UNIQUE INDEX user_account_id_key ON tenantry.user_account (id);

-- How many mails an address got, whatever became of its invitations.
CREATE INDEX invitation_address ON tenantry.invitation (env, tenant, email_key);
-- Those that are over, to be deleted in the end; their mail goes with them.
CREATE INDEX invitation_over ON tenantry.invitation ((coalesce(settled_at, expires_at)));
