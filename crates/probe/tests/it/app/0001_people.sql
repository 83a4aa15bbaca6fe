CREATE TYPE mood AS ENUM ('calm', 'busy', 'away');
CREATE DOMAIN email AS text CHECK (VALUE ~ '^[^@]+@[^@]+$');
CREATE TABLE countries (code char(2) PRIMARY KEY, name text NOT NULL);
INSERT INTO countries VALUES ('fr', 'France'), ('it', 'Italy');

CREATE TABLE people (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    address email NOT NULL,
    name text NOT NULL CHECK (length(name) > 3),
    state text NOT NULL CHECK (state IN ('new', 'known')),
    mood mood NOT NULL DEFAULT 'calm',
    tags text[] NOT NULL DEFAULT '{}',
    extra jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(extra) = 'object'),
    country char(2) REFERENCES countries (code),
    shout text GENERATED ALWAYS AS (upper(name)) STORED,
    seen_at timestamptz NOT NULL DEFAULT now(),
    manager uuid,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, address),
    FOREIGN KEY (tenant_id, manager) REFERENCES people (tenant_id, id)
);

CREATE TABLE teams (
    tenant_id uuid NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    code varchar(12) NOT NULL,
    secret bytea,
    weight numeric(20, 2) NOT NULL CHECK (weight > 0),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, code)
);

CREATE TABLE members (
    tenant_id uuid NOT NULL,
    team bigint NOT NULL,
    person uuid NOT NULL,
    since date NOT NULL DEFAULT current_date,
    PRIMARY KEY (tenant_id, team, person),
    FOREIGN KEY (tenant_id, team) REFERENCES teams (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, person) REFERENCES people (tenant_id, id)
);
