-- People who were let in and have not written yet.
SELECT u.email, u.display_name, u.status, co.name AS country
FROM users AS u
LEFT JOIN countries AS co ON co.code = u.country_code
WHERE NOT EXISTS (SELECT FROM messages AS m WHERE m.author_id = u.id)
ORDER BY u.email;
