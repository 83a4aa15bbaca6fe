-- How much does this customer have? One row, one column per table.
SELECT
    (SELECT count(*) FROM users)           AS users,
    (SELECT count(*) FROM channels)        AS channels,
    (SELECT count(*) FROM channel_members) AS channel_members,
    (SELECT count(*) FROM messages)        AS messages,
    (SELECT count(*) FROM files)           AS files,
    (SELECT count(*) FROM reactions)       AS reactions;
