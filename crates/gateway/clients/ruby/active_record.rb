# frozen_string_literal: true

# ActiveRecord 6.1 on ruby-pg, as a Rails application uses it: `active_record.rb prepared|unprepared`.

require "active_record"
require_relative "program"

PREPARED = ARGV.fetch(0) == "prepared"
PROGRAM = Program.new(PREPARED ? "active-record" : "active-record-unprepared", ActiveRecord.version.to_s)
MARK = PROGRAM.mark

ActiveRecord::Base.default_timezone = :utc
ActiveRecord::Base.establish_connection(url: ENV.fetch("DATABASE_URL"), pool: 8, prepared_statements: PREPARED)

# The table is there already; the database fills in the tenant.
class Note < ActiveRecord::Base
  self.table_name = "note"
  self.primary_key = "id"
end

def check(name, &work)
  PROGRAM.check(name, &work)
end

def connection
  Note.connection
end

def value(sql)
  connection.select_value(sql)
end

check("own_rows") do
  own(Note.pluck(:body))
  own(Note.order(:id).map(&:body))
  same(Note.where.not(body: "").count, ROWS)
end

check("write") do
  note = Note.create!(body: MARK, data: { first: 1 })
  note.update!(body: "#{MARK} changed")
  note.reload
  same([note.body, note.data], ["#{MARK} changed", { "first" => 1 }])
  holds(note.tenant_id && note.at, "defaults are read back")
  note.destroy!
  notes = Note.transaction { Note.create!(Array.new(100) { |n| { body: "#{MARK} #{n}" } }) }
  same(notes.map(&:id).uniq.size, 100, "ids of a batch")
  same(Note.where("body LIKE ?", "#{MARK}%").delete_all, 100, "rows deleted")
  own(Note.pluck(:body))
end

check("rollback") do
  Note.transaction do
    Note.create!(body: MARK)
    Note.transaction(requires_new: true) do
      Note.delete_all
      raise ActiveRecord::Rollback
    end
    same(Note.count, ROWS + 1, "after a savepoint")
    raise ActiveRecord::Rollback
  end
  own(Note.pluck(:body))
end

check("error_in_transaction") do
  fails(ActiveRecord::StatementInvalid) do
    Note.transaction do
      Note.create!(body: MARK)
      connection.execute("SELECT 1 / 0")
    end
  end
  own(Note.pluck(:body))
  fails(ActiveRecord::StatementInvalid) { connection.execute("SELECT * FROM no_such_table") }
  fails(ActiveRecord::NotNullViolation) { Note.create!(body: nil) }
  own(Note.pluck(:body))
end

check("prepared") do
  20.times do |n|
    own(Note.where.not(id: -n - 1).pluck(:body))
    same(Note.where(id: -n - 1).exists?, false)
    fails(ActiveRecord::RecordNotFound) { Note.find(-n - 1) }
  end
end

check("copy") do
  load = lambda do
    Note.transaction do
      raw = connection.raw_connection
      raw.copy_data("COPY note (body) FROM STDIN") { 100.times { |n| raw.put_copy_data("#{MARK} #{n}\n") } }
      same(Note.count, 100 + ROWS)
      raise ActiveRecord::Rollback
    end
  end
  HAS_COPY_FROM ? load.call : fails(PG::FeatureNotSupported, &load)
  own(Note.pluck(:body))
end

check("batches") do
  seen = []
  Note.find_each(batch_size: 2) { |note| seen << note.body }
  own(seen)
  Note.in_batches(of: 1).each { |batch| same(batch.count, 1) }
end

check("large_result") do
  same(connection.select_values("SELECT n FROM generate_series(1, #{LARGE_ROWS}) AS n").size, LARGE_ROWS, "rows")
end

check("large_text") do
  note = Note.create!(body: MARK + ("x" * LARGE_TEXT))
  same(note.reload.body.size, LARGE_TEXT + MARK.size, "characters")
  note.destroy!
end

check("notice") do
  heard = []
  connection.raw_connection.set_notice_processor { |message| heard << message }
  connection.execute("DO $$ BEGIN RAISE WARNING 'hear %', 'this'; END $$")
  same(heard, ["WARNING:  hear this\n"], "warnings")
end

check("sticky_settings") do
  5.times { same(value("SHOW TimeZone"), "UTC") }
  note = Note.create!(body: MARK, at: Time.utc(2026, 3, 29, 1, 30))
  same(value("SELECT at::text FROM note WHERE id = #{note.id}"), "2026-03-29 01:30:00+00")
  same(note.reload.at, Time.utc(2026, 3, 29, 1, 30))
  note.destroy!
end

check("serializable") do
  Note.transaction(isolation: :serializable) do
    own(Note.pluck(:body))
    same(value("SHOW transaction_isolation"), "serializable")
  end
  same(value("SHOW transaction_isolation"), "read committed", "the next one")
end

check("lock") do
  Note.transaction do
    note = Note.lock.first
    note.with_lock { own(Note.pluck(:body)) }
  end
end

check("inspect") do
  same(connection.columns("note").map(&:name), %w[tenant_id id body at data], "columns")
  holds(connection.table_exists?("note"), "the table is found")
end

check("crowd") do
  8.times.map do |n|
    Thread.new do
      ActiveRecord::Base.connection_pool.with_connection do
        20.times do
          Note.transaction do
            own(Note.where.not("body LIKE 'client %'").pluck(:body))
            Note.create!(body: "#{MARK} #{n}").destroy!
          end
        end
      end
    end
  end.each(&:join)
end

none = "ActiveRecord has none of its own; see ruby-pg"
PROGRAM.absent(cursor: none, cancel: none, pipeline: none, many_statements: none, types: none)
PROGRAM.run
