-- Per channel: members, messages, people who wrote, and when it was last used. Empty channels count too.
SELECT c.name                       AS channel,
       mem.members,
       count(m.id)                  AS messages,
       count(DISTINCT m.author_id)  AS authors,
       max(m.created_at)            AS last_message_at
FROM channels AS c
LEFT JOIN messages AS m ON m.channel_id = c.id
CROSS JOIN LATERAL (SELECT count(*) AS members FROM channel_members WHERE channel_id = c.id) AS mem
GROUP BY c.id, c.name, mem.members
ORDER BY messages DESC, channel;
