-- A small team's first week: 4 people, 3 channels, 240 messages, 12 files, 80 reactions.
--
-- Written as an application writes: inside a tenant's context, without ever naming a tenant. Run it once
-- per tenant, in one transaction. The rows are the same for every tenant and level, so that counts compare.

INSERT INTO users (email, display_name, status, country_code, created_at) VALUES
    ('anna@chat.example',  'Anna Berger',  'active',   'DE', '2026-03-02 08:00:00+00'),
    ('ben@chat.example',   'Ben Okafor',   'active',   'GB', '2026-03-02 08:05:00+00'),
    ('chiara@chat.example','Chiara Rossi', 'active',   'IT', '2026-03-02 08:10:00+00'),
    ('dev@chat.example',   'Dev Patel',    'invited',  'IN', '2026-03-03 09:00:00+00');

INSERT INTO channels (name, topic, private, created_by, created_at)
SELECT c.name, c.topic, c.private, u.id, c.created_at
FROM (VALUES
    ('general',  'Everything for everybody', false, '2026-03-02 08:15:00+00'::timestamptz),
    ('releases', 'What ships and when',      false, '2026-03-02 08:16:00+00'::timestamptz),
    ('board',    'Numbers and people',       true,  '2026-03-02 08:17:00+00'::timestamptz)
) AS c (name, topic, private, created_at)
CROSS JOIN users AS u
WHERE u.email = 'anna@chat.example';

INSERT INTO channel_members (channel_id, user_id, role, joined_at)
SELECT c.id, u.id, CASE WHEN u.email = 'anna@chat.example' THEN 'owner' ELSE 'member' END, c.created_at
FROM channels AS c
JOIN users AS u ON u.status = 'active' AND (NOT c.private OR u.email <> 'chiara@chat.example');

INSERT INTO messages (channel_id, author_id, body, pinned, created_at)
SELECT c.id,
       u.id,
       format('%s #%s: %s', c.name, n,
              CASE n % 4 WHEN 0 THEN 'the release is ready'
                         WHEN 1 THEN 'who can review this today?'
                         WHEN 2 THEN 'numbers are in the usual place'
                         ELSE 'thanks, looks good' END),
       n = 40,
       timestamptz '2026-03-02 09:00:00+00' + n * interval '45 minutes'
FROM generate_series(1, 80) AS n
CROSS JOIN channels AS c
JOIN users AS u ON u.email = CASE WHEN n % 3 = 0 AND NOT c.private THEN 'chiara@chat.example'
                                  WHEN n % 2 = 0 THEN 'ben@chat.example'
                                  ELSE 'anna@chat.example' END
ORDER BY n, c.name;

INSERT INTO files (message_id, uploaded_by, name, media_type, size_bytes, storage_key, created_at)
SELECT m.id, m.author_id, format('plan-%s.pdf', r), 'application/pdf', 20000 + r * 1000, format('week/%s', r), m.created_at
FROM (SELECT id, author_id, created_at, row_number() OVER (ORDER BY created_at, id) AS r FROM messages) AS m
WHERE r % 20 = 0;

INSERT INTO reactions (message_id, user_id, emoji, created_at)
SELECT m.id, u.id, CASE WHEN m.r % 2 = 0 THEN 'thumbs_up' ELSE 'tada' END, m.created_at + interval '5 minutes'
FROM (SELECT id, created_at, row_number() OVER (ORDER BY created_at, id) AS r FROM messages) AS m
JOIN users AS u ON u.email IN ('anna@chat.example', 'ben@chat.example')
WHERE m.r % 6 = 0;
