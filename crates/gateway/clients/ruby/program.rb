# frozen_string_literal: true

# What the client programs in Ruby share: where they connect to, and how they say what came of it.
#
# The runner hands the place over as an application gets it: DATABASE_URL and libpq's variables. Each check is a block;
# one that ends without an error is fine. The last line of the output is the report, one JSON object.

require "json"
require "securerandom"
require "timeout"

OWN = ENV.fetch("NOTE_OWN")
FOREIGN = ENV.fetch("NOTE_FOREIGN")
# PostgreSQL refuses COPY FROM into a table with row-level security, whoever asks (0A000).
HAS_COPY_FROM = !ENV.fetch("CLIENT_FEATURES", "").split.include?("no-copy-from")
# How many rows of its own every place has, one of them with the canary.
ROWS = 3
LARGE_ROWS = 100_000
LARGE_TEXT = 5_000_000
# The longest that one check may take.
SECONDS = 60

# The checks of one client.
class Program
  attr_reader :mark

  def initialize(name, version)
    @name = name
    @version = version
    # Rows with this beginning are ours; the runner removes what a program that died has left.
    @mark = "client #{name} #{SecureRandom.uuid}"
    @checks = []
  end

  def check(name, &work)
    @checks << [name, work, nil]
  end

  # Names checks that the client cannot do, with the reason.
  def absent(reasons)
    reasons.each { |name, reason| @checks << [name, nil, reason] }
  end

  def run
    results = @checks.map { |name, work, reason| one(name, work, reason) }
    puts JSON.generate(client: @name, version: @version, checks: results)
    exit(results.none? { |result| result[:result] == "error" })
  end

  private

  def one(name, work, reason)
    began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    result, detail = reason ? ["absent", reason] : ["ok", ""]
    begin
      Timeout.timeout(SECONDS) { work&.call }
    rescue StandardError => e
      warn e.full_message(highlight: false)
      result = "error"
      detail = "#{e.class}: #{e.message}"[0, 600]
    end
    { name: name, result: result, detail: detail,
      ms: ((Process.clock_gettime(Process::CLOCK_MONOTONIC) - began) * 1e3).round(1) }
  end
end

def same(got, wanted, what = "value")
  got == wanted or raise "#{what}: #{got.inspect[0, 200]} instead of #{wanted.inspect[0, 200]}"
end

def holds(fine, what)
  fine or raise what
end

# Says whether these are the rows of this tenant and of nobody else.
def own(bodies)
  holds(bodies.none? { |body| body.include?(FOREIGN) }, "a row of another tenant is seen")
  same(bodies.size, ROWS, "number of rows")
  holds(bodies.any? { |body| body.include?(OWN) }, "the own row is not seen")
end

def fails(kind)
  yield
rescue kind => e
  e
else
  raise "#{kind} was expected and nothing failed"
end
