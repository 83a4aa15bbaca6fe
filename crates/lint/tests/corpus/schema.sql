-- The structure of the app that the corpus speaks of: a small shop with projects, as many products have them.

CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);
CREATE TABLE currencies (code text PRIMARY KEY, digits int NOT NULL);

CREATE TABLE customers (
    tenant_id uuid NOT NULL, id uuid NOT NULL, email text NOT NULL, name text, country_code text REFERENCES countries,
    status text NOT NULL DEFAULT 'active', settings jsonb NOT NULL DEFAULT '{}', created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, email)
);

CREATE TABLE orders (
    tenant_id uuid NOT NULL, id uuid NOT NULL, customer_id uuid NOT NULL, number bigint NOT NULL, status text NOT NULL,
    currency text REFERENCES currencies, total numeric NOT NULL DEFAULT 0, note text, created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, number),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id)
);

CREATE TABLE order_items (
    tenant_id uuid NOT NULL, id uuid NOT NULL, order_id uuid NOT NULL, product_id uuid NOT NULL, quantity int NOT NULL,
    price numeric NOT NULL,
    PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id)
);

CREATE TABLE products (
    tenant_id uuid NOT NULL, id uuid NOT NULL, sku text NOT NULL, name text NOT NULL, price numeric NOT NULL,
    stock int NOT NULL DEFAULT 0, tags text[] NOT NULL DEFAULT '{}', data jsonb,
    PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, sku)
);

CREATE TABLE users (
    tenant_id uuid NOT NULL, id uuid NOT NULL, email text NOT NULL, role text NOT NULL, last_login timestamptz,
    PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, email)
);

CREATE TABLE projects (
    tenant_id uuid NOT NULL, id uuid NOT NULL, parent_id uuid, owner_id uuid, name text NOT NULL, archived_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE tasks (
    tenant_id uuid NOT NULL, id uuid NOT NULL, project_id uuid NOT NULL, assignee_id uuid, title text NOT NULL,
    state text NOT NULL, position int NOT NULL, due date, done_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE comments (
    tenant_id uuid NOT NULL, id uuid NOT NULL, task_id uuid NOT NULL, author_id uuid, body text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE jobs (
    tenant_id uuid NOT NULL, id bigint NOT NULL, queue text NOT NULL, payload jsonb NOT NULL, run_at timestamptz NOT NULL,
    locked_by text, attempts int NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE outbox (
    tenant_id uuid NOT NULL, id bigint NOT NULL, topic text NOT NULL, payload jsonb, sent_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE usage_daily (
    tenant_id uuid NOT NULL, day date NOT NULL, meter text NOT NULL, amount bigint NOT NULL,
    PRIMARY KEY (tenant_id, day, meter)
);

CREATE TABLE events (
    tenant_id uuid NOT NULL, id bigint NOT NULL, kind text NOT NULL, actor_id uuid, subject_id uuid, at timestamptz NOT NULL,
    data jsonb,
    PRIMARY KEY (tenant_id, id, at)
) PARTITION BY RANGE (at);

CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
