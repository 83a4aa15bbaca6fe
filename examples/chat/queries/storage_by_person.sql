-- Bytes by uploader and media type, with subtotals.
SELECT coalesce(u.display_name, 'all') AS person,
       coalesce(f.media_type, 'all')   AS media_type,
       count(*)                        AS files,
       sum(f.size_bytes)               AS bytes
FROM files AS f
JOIN users AS u ON u.id = f.uploaded_by
GROUP BY ROLLUP (u.display_name, f.media_type)
ORDER BY u.display_name NULLS LAST, f.media_type NULLS LAST;
