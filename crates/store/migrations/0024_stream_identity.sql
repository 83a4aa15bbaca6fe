-- Which stream it is that was published to: a server that lost a stream, or another server, may have one of the same name.

-- When the stream was made, by its server's clock. NULL until a publisher of this release has seen it.
ALTER TABLE tenantry.stream_sink ADD COLUMN stream_made_at timestamptz;
