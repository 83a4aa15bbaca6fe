-- Messages per day with a running total.
WITH day AS (
    SELECT (created_at AT TIME ZONE 'UTC')::date AS on_day, count(*) AS messages
    FROM messages
    GROUP BY 1
)
SELECT on_day, messages, sum(messages) OVER (ORDER BY on_day) AS total
FROM day
ORDER BY on_day;
