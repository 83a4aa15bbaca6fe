-- Messages that contain a word, newest first. The word is tested on this customer's rows only:
-- LIKE is not leakproof, so PostgreSQL applies the policy before it.
SELECT m.id, c.name AS channel, u.display_name AS author, m.body, m.created_at
FROM messages AS m
JOIN channels AS c ON c.id = m.channel_id
LEFT JOIN users AS u ON u.id = m.author_id
WHERE m.body ILIKE '%release%'
ORDER BY m.created_at DESC, m.id DESC
LIMIT 20;
