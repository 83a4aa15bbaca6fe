-- The twenty messages with the most reactions.
SELECT m.id, c.name AS channel, m.body, count(*) AS reactions, array_agg(DISTINCT r.emoji ORDER BY r.emoji) AS emojis
FROM reactions AS r
JOIN messages AS m ON m.id = r.message_id
JOIN channels AS c ON c.id = m.channel_id
GROUP BY m.id, c.name, m.body
ORDER BY reactions DESC, m.id
LIMIT 20;
