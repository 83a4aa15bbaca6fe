-- The ten latest messages of every channel, as the start screen shows them.
SELECT c.name AS channel, m.id, u.display_name AS author, m.body, m.created_at
FROM channels AS c
CROSS JOIN LATERAL (
    SELECT id, author_id, body, created_at
    FROM messages
    WHERE channel_id = c.id
    ORDER BY created_at DESC, id DESC
    LIMIT 10
) AS m
LEFT JOIN users AS u ON u.id = m.author_id
ORDER BY c.name, m.created_at DESC, m.id DESC;
