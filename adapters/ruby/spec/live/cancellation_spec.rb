# frozen_string_literal: true

# Requests that are cut off anywhere, on a pool of one: whoever comes next gets a clean connection, or a new one.
# Active Record asks for types on each new connection, so that one request takes much longer.
{ plain: 1_500, active_record: 400 }.each do |backend, usual_count|
  RSpec.describe "Cancelled requests on the #{backend} backend", :live, backend: backend do
    requests = Integer(ENV.fetch("TENANTRY_CANCELLATIONS", usual_count))

    it "leave no foreign row and no stuck connection in #{requests} requests" do
      Tenantry.configuration.connections_max = 1
      tenants = World::PLANS.keys.flat_map { |level| World.pair(level) }
      canaries = tenants.to_h { |tenant| [tenant.uuid, "canary-#{tenant.uuid}"] }
      tenants.each do |tenant|
        as_tenant(tenant) do |tx|
          tx.exec_params("INSERT INTO channels (name) VALUES ($1) ON CONFLICT DO NOTHING", [canaries[tenant.uuid]])
        end
      end
      random = Random.new(20)
      # As long as one request takes here, three at a time, from a cold connection.
      usual = 3 * duration { 12.times { |number| request(tenants[number % tenants.size], canaries) } } / 12
      tally = Hash.new(0)
      queue = Queue.new
      requests.times { |number| queue << number }
      workers = Array.new(3) do
        Thread.new do
          until queue.empty?
            begin
              queue.pop(true)
            rescue ThreadError
              break
            end
            tally[cut_off(tenants[random.rand(tenants.size)], canaries, random.rand * 5 * usual, random.rand(3))] += 1
          end
        end
      end
      workers.each(&:join)
      expect(tally[:foreign]).to eq(0)
      expect(tally[:cut]).to be > requests / 40
      expect(tally[:whole]).to be > requests / 40
      expect(Tenantry.backend.limiter.used).to eq(0)
      expect(leased).to eq(0)
      tenants.each do |tenant|
        expect(as_tenant(tenant) { |tx| tx.value("SELECT tenantry.current_tenant()") }).to eq(tenant.uuid)
        expect(as_tenant(tenant) do |tx|
                 tx.value("SELECT count(*) FROM channels WHERE name LIKE 'half-%'")
               end.to_i).to eq(0)
      end
      expect(stuck).to eq(0)
      puts "cancellations on #{backend}: #{tally.sort.to_h}" if ENV["TENANTRY_VERBOSE"]
    end

    def duration
      started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      yield
      Process.clock_gettime(Process::CLOCK_MONOTONIC) - started
    end

    # Connections that Active Record believes to be in use.
    def leased
      logins = Tenantry::ActiveRecord::Logins.instance_variable_get(:@logins).values
      logins.sum { |login| login.pool.connections.count(&:in_use?) }
    end

    # Sessions of the adapter with an open transaction.
    def stuck
      World.admin(World.pair(:shared).first) do |admin|
        admin.exec("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tenantry ruby' " \
                   "AND state LIKE 'idle in transaction%'").getvalue(0, 0).to_i
      end
    end

    def request(tenant, canaries)
      as_tenant(tenant) do |tx|
        seen = tx.exec("SELECT name FROM channels WHERE name LIKE 'canary-%'").column_values(0)
        foreign = seen - [canaries[tenant.uuid]]
        tx.exec_params("INSERT INTO channels (name) VALUES ($1)", ["half-#{SecureRandom.hex(6)}"])
        tx.exec("SELECT pg_sleep(0.002)")
        tx.exec("DELETE FROM channels WHERE name LIKE 'half-%'")
        foreign.empty? && seen.any? ? :whole : :foreign
      end
    end

    # Three ways in which a request ends early.
    def cut_off(tenant, canaries, seconds, way)
      case way
      when 0 then Timeout.timeout(seconds + 0.0001) { request(tenant, canaries) }
      when 1
        thread = Thread.new { request(tenant, canaries) }
        thread.report_on_exception = false
        thread.join(seconds) || thread.raise(IOError, "the client is gone")
        thread.value
      else
        thread = Thread.new { request(tenant, canaries) }
        thread.report_on_exception = false
        thread.join(seconds) || thread.kill
        thread.join
        thread.value || :cut
      end
    rescue Timeout::Error, IOError, Tenantry::PoolExhausted, Tenantry::DatabaseUnavailable
      :cut
    end
  end
end
