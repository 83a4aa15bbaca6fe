-- Everything that happened, newest first: the union reads three tables, and each arm is filtered by its own policy.
SELECT kind, subject, happened_at
FROM (
    SELECT 'message' AS kind, body AS subject, created_at AS happened_at FROM messages
    UNION ALL
    SELECT 'file', name, created_at FROM files
    UNION ALL
    SELECT 'reaction', emoji, created_at FROM reactions
) AS timeline
ORDER BY happened_at DESC, kind, subject
LIMIT 50;
