# frozen_string_literal: true

# ruby-pg, libpq as Ruby applications use it.

require "pg"
require_relative "program"

PROGRAM = Program.new("ruby-pg", PG::VERSION)
MARK = PROGRAM.mark

def connect
  conn = PG.connect(ENV.fetch("DATABASE_URL"))
  conn.type_map_for_results = PG::BasicTypeMapForResults.new(conn)
  yield conn
ensure
  conn&.close
end

def check(name, &work)
  PROGRAM.check(name) { connect(&work) }
end

def bodies(conn, sql = "SELECT body FROM note", params = [])
  conn.exec_params(sql, params).column_values(0)
end

def count(conn)
  conn.exec("SELECT count(*) FROM note").getvalue(0, 0)
end

check("login") do |conn|
  same(conn.ssl_in_use?, ENV["CLIENT_TLS"] == "1", "TLS in use")
end

check("own_rows") do |conn|
  own(bodies(conn))
  own(conn.exec("SELECT body FROM note").column_values(0))
  own(bodies(conn, "SELECT body FROM note WHERE id >= $1", [0]))
end

check("write") do |conn|
  key = conn.transaction { conn.exec_params("INSERT INTO note (body) VALUES ($1) RETURNING id", [MARK]).getvalue(0, 0) }
  same(conn.exec_params("UPDATE note SET body = body || '!' WHERE id = $1", [key]).cmd_tuples, 1)
  same(bodies(conn, "SELECT body FROM note WHERE id = $1", [key]), ["#{MARK}!"])
  same(conn.exec_params("DELETE FROM note WHERE id = $1", [key]).cmd_tuples, 1)
  own(bodies(conn))
end

check("rollback") do |conn|
  conn.exec("BEGIN")
  conn.exec_params("INSERT INTO note (body) VALUES ($1)", [MARK])
  conn.exec("SAVEPOINT one")
  conn.exec("DELETE FROM note")
  conn.exec("ROLLBACK TO one")
  same(count(conn), ROWS + 1, "after a savepoint")
  conn.exec("ROLLBACK")
  own(bodies(conn))
end

check("error_in_transaction") do |conn|
  conn.exec("BEGIN")
  conn.exec_params("INSERT INTO note (body) VALUES ($1)", [MARK])
  fails(PG::DivisionByZero) { conn.exec("SELECT 1 / 0") }
  fails(PG::InFailedSqlTransaction) { bodies(conn) }
  conn.exec("ROLLBACK")
  own(bodies(conn))
  fails(PG::UndefinedTable) { conn.exec("SELECT * FROM no_such_table") }
  own(bodies(conn))
end

check("prepared") do |conn|
  connect do |other|
    conn.prepare("own", "SELECT body FROM note WHERE id <> $1")
    conn.prepare("number", "SELECT $1::int + 1")
    other.prepare("own", "SELECT $1::text || 'x'")
    same(conn.describe_prepared("own").fields, ["body"], "columns")
    20.times do |n|
      own(conn.exec_prepared("own", [-n - 1]).column_values(0))
      same(conn.exec_prepared("number", [n]).getvalue(0, 0), n + 1)
      same(other.exec_prepared("own", [n.to_s]).getvalue(0, 0), "#{n}x")
    end
    conn.exec("DEALLOCATE own")
    fails(PG::InvalidSqlStatementName) { conn.exec_prepared("own", [0]) }
    same(conn.exec_prepared("number", [1]).getvalue(0, 0), 2)
  end
end

check("copy") do |conn|
  conn.exec("BEGIN")
  if HAS_COPY_FROM
    conn.copy_data("COPY note (body) FROM STDIN") { 1000.times { |n| conn.put_copy_data("#{MARK} #{n}\n") } }
  else
    fails(PG::FeatureNotSupported) { conn.copy_data("COPY note (body) FROM STDIN") { conn.put_copy_data("#{MARK}\n") } }
    conn.exec("ROLLBACK; BEGIN")
  end
  lines = []
  conn.copy_data("COPY (SELECT body FROM note) TO STDOUT") do
    while (line = conn.get_copy_data)
      lines << line.chomp
    end
  end
  same(lines.size, HAS_COPY_FROM ? 1000 + ROWS : ROWS, "lines")
  own(lines.reject { |line| line.start_with?("client ") })
  conn.exec("ROLLBACK")
  own(bodies(conn))
end

check("cursor") do |conn|
  conn.transaction do
    conn.exec("DECLARE notes CURSOR FOR SELECT body FROM note UNION ALL SELECT n::text FROM generate_series(1, 5000) AS n")
    total = 0
    until (rows = conn.exec("FETCH 700 FROM notes")).ntuples.zero?
      total += rows.ntuples
    end
    same(total, 5000 + ROWS, "rows of a cursor")
  end
end

check("large_result") do |conn|
  rows = conn.exec_params("SELECT n FROM generate_series(1, $1::int) AS n", [LARGE_ROWS])
  same(rows.column_values(0).sum, LARGE_ROWS * (LARGE_ROWS + 1) / 2, "sum")
  conn.send_query("SELECT n FROM generate_series(1, #{LARGE_ROWS}) AS n")
  conn.set_single_row_mode
  same(conn.get_result.stream_each.sum { |row| row["n"] }, LARGE_ROWS * (LARGE_ROWS + 1) / 2, "sum, row by row")
  conn.get_last_result
end

check("large_text") do |conn|
  same(conn.exec_params("SELECT $1::text", ["x" * LARGE_TEXT]).getvalue(0, 0).size, LARGE_TEXT, "characters")
end

check("notice") do |conn|
  heard = []
  conn.set_notice_receiver { |result| heard << result.error_field(PG::PG_DIAG_MESSAGE_PRIMARY) }
  conn.exec("DO $$ BEGIN RAISE NOTICE 'hear %', 'this'; END $$")
  same(heard, ["hear this"], "notices")
end

check("cancel") do |conn|
  conn.send_query("SELECT pg_sleep(30)")
  sleep(0.3)
  began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  conn.cancel
  fails(PG::QueryCanceled) { conn.get_last_result }
  holds(Process.clock_gettime(Process::CLOCK_MONOTONIC) - began < 1, "a cancelled query ends within a second")
  own(bodies(conn))
end

check("sticky_settings") do |conn|
  connect do |other|
    conn.exec("SET TIME ZONE 'Asia/Tokyo'")
    conn.exec("SET application_name = 'first of two'")
    other.exec("SET TIME ZONE 'America/Lima'")
    other.set_client_encoding("LATIN1")
    5.times do
      conn.transaction do
        same(bodies(conn, "SHOW TimeZone"), ["Asia/Tokyo"])
        same(bodies(conn, "SHOW application_name"), ["first of two"])
        same(bodies(conn, "SELECT 'ä'::text"), ["ä"])
      end
      same(bodies(other, "SHOW TimeZone"), ["America/Lima"])
      same(other.exec("SELECT chr(228) AS c").getvalue(0, 0).bytes, [228], "a letter in Latin-1")
    end
  end
end

check("serializable") do |conn|
  conn.exec("BEGIN ISOLATION LEVEL SERIALIZABLE")
  own(bodies(conn))
  same(bodies(conn, "SHOW transaction_isolation"), ["serializable"])
  conn.exec("COMMIT")
end

check("many_statements") do |conn|
  results = []
  conn.send_query("BEGIN; INSERT INTO note (body) VALUES ('#{MARK}'); COMMIT; SELECT count(*) FROM note; " \
                  "DELETE FROM note WHERE body = '#{MARK}'; SELECT body FROM note")
  while (result = conn.get_result)
    result.check
    results << result
  end
  same(results.map(&:cmd_status), ["BEGIN", "INSERT 0 1", "COMMIT", "SELECT 1", "DELETE 1", "SELECT 3"], "tags")
  same(results[3].getvalue(0, 0).to_i, ROWS + 1, "after a COMMIT in the middle")
  own(results[5].column_values(0))
end

check("types") do |conn|
  row = conn.exec_params("SELECT $1::uuid, $2::numeric, $3::timestamptz = '2026-03-29 01:30:00.123456+00', $4::bytea, " \
                         "$5::int[], $6::jsonb, $7::int8, $8::bool",
                         ["3d6f0a52-6c5b-4d27-9e3b-0a6d0f7a1b2c", "1.000000000000000000001", "2026-03-29 03:30:00.123456+02",
                          { value: "\x00\xff".b * 500, format: 1 }, "{1,2,NULL}", '{"a": [1, null]}', 2**62, nil]).values[0]
  same([row[0], row[1].to_s("F"), row[2], row[3], row[4], row[6], row[7]],
       ["3d6f0a52-6c5b-4d27-9e3b-0a6d0f7a1b2c", "1.000000000000000000001", true, "\x00\xff".b * 500, [1, 2, nil], 2**62, nil],
       "values")
end

check("pipeline") do |conn|
  conn.enter_pipeline_mode
  100.times { |n| conn.send_query_params("SELECT count(*), $1::int FROM note", [n]) }
  conn.send_query_params("SELECT 1 / $1::int", [0])
  conn.send_query_params("SELECT count(*) FROM note", [])
  conn.pipeline_sync
  100.times do |n|
    same(conn.get_result.values, [[ROWS, n]])
    same(conn.get_result, nil)
  end
  fails(PG::DivisionByZero) { conn.get_result.check }
  same(conn.get_result, nil)
  same(conn.get_result.result_status, PG::PGRES_PIPELINE_ABORTED, "after an error")
  same(conn.get_result, nil)
  same(conn.get_result.result_status, PG::PGRES_PIPELINE_SYNC)
  conn.exit_pipeline_mode
  own(bodies(conn))
end

PROGRAM.check("crowd") do
  8.times.map do |n|
    Thread.new do
      connect do |conn|
        20.times do
          conn.transaction do
            own(bodies(conn, "SELECT body FROM note WHERE body NOT LIKE 'client %'"))
            conn.exec_params("INSERT INTO note (body) VALUES ($1)", ["#{MARK} #{n}"])
            conn.exec_params("DELETE FROM note WHERE body = $1", ["#{MARK} #{n}"])
          end
        end
      end
    end
  end.each(&:join)
end

PROGRAM.run
