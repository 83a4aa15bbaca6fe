-- The app's files that ran in what waits for a tenant, in their order, each with its checksum. An app may change files that
-- nobody has yet, and whatever ran the old ones is then of no use. Absent where it is not known.
ALTER TABLE ledger.premade ADD COLUMN files text[];
ALTER TABLE ledger.template ADD COLUMN files text[];

-- What tenants added to their own places: objects that no file made, as they were seen before files ran.
CREATE TABLE ledger.overlay (
    place text NOT NULL,
    item text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (place, item)
);
