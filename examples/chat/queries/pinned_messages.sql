-- What each channel has pinned.
SELECT c.name AS channel, m.body, m.created_at
FROM messages AS m
JOIN channels AS c ON c.id = m.channel_id
WHERE m.pinned
ORDER BY c.name, m.created_at DESC;
