# frozen_string_literal: true

RSpec.describe Tenantry::PlainBackend, :live do
  let(:noisy) { World.pair(:shared).first }
  let(:quiet) { World.pair(:shared).last }

  it "does not let one tenant take all connections" do
    Tenantry.configuration.connections_per_tenant = 4
    Tenantry.configuration.connections_max = 8
    stop = false
    noise = Array.new(20) do
      Thread.new { as_tenant(noisy) { |tx| tx.exec("SELECT pg_sleep(0.05)") } until stop }
    end
    sleep 0.2
    peak = 0
    waits = Array.new(40) do
      peak = [peak, Tenantry.backend.limiter.used(noisy.uuid)].max
      started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      as_tenant(quiet) { |tx| tx.exec("SELECT 1") }
      Process.clock_gettime(Process::CLOCK_MONOTONIC) - started
    end
    stop = true
    noise.each(&:join)
    expect(peak).to be_between(1, 4)
    # Without the share each of them would wait behind sixteen sleeps of 50 ms.
    expect(waits.sort[30]).to be < 0.25
    expect(Tenantry.backend.limiter.used).to eq(0)
  end

  it "says when there is no connection in time" do
    Tenantry.configuration.connections_per_tenant = 1
    Tenantry.configuration.checkout_timeout = 0.2
    holder = Thread.new { as_tenant(noisy) { |tx| tx.exec("SELECT pg_sleep(2)") } }
    Thread.pass until Tenantry.backend.limiter.used(noisy.uuid) == 1
    expect { as_tenant(noisy) { nil } }.to raise_error(Tenantry::PoolExhausted) { |error|
                                             expect(error.retry_after).to eq(1)
                                           }
    expect(as_tenant(quiet) { |tx| tx.value("SELECT 1") }).to eq("1")
    holder.join
    expect(as_tenant(noisy) { |tx| tx.value("SELECT 1") }).to eq("1")
  end

  it "bounds all connections, also those that lie idle in pools of other logins" do
    Tenantry.configuration.connections_max = 2
    tenants = World::PLANS.keys.flat_map { |level| World.pair(level) }
    3.times do
      tenants.each do |tenant|
        as_tenant(tenant) do |tx|
          expect(tx.value("SELECT tenantry.current_tenant()")).to eq(tenant.uuid)
        end
      end
      expect(Tenantry.backend.shelf.size).to be <= 2
    end
  end

  it "keeps the connection of a transaction that failed, and closes one that was cut off in a statement" do
    pids = []
    note = ->(tx) { pids << tx.value("SELECT pg_backend_pid()") }
    as_tenant(noisy, &note)
    expect { as_tenant(noisy) { |tx| note.call(tx) && raise("boom") } }.to raise_error("boom")
    expect { as_tenant(noisy) { |tx| note.call(tx) && tx.exec("nonsense") } }.to raise_error(PG::Error)
    expect(pids.uniq.size).to eq(1)
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    cut = proc { as_tenant(noisy) { |tx| note.call(tx) && tx.exec("SELECT pg_sleep(20)") } }
    expect { Timeout.timeout(0.3, &cut) }.to raise_error(Timeout::Error)
    as_tenant(noisy, &note)
    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - started).to be < 5
    expect(pids.last).not_to eq(pids.first)
    # The statement was cancelled, not only left alone.
    World.admin(noisy) do |admin|
      running = admin.exec_params("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", [pids.first]).getvalue(0, 0)
      expect(running).to eq("0")
    end
  end

  it "replaces connections that died while they were idle" do
    pid = as_tenant(noisy) { |tx| tx.value("SELECT pg_backend_pid()") }
    World.admin(noisy) { |admin| admin.exec_params("SELECT pg_terminate_backend($1)", [pid]) }
    expect(as_tenant(noisy) { |tx| tx.value("SELECT pg_backend_pid()") }).not_to eq(pid)
  end

  it "closes connections that are idle for long" do
    Tenantry.configuration.idle_timeout = 0.1
    as_tenant(noisy) { nil }
    sleep 0.2
    as_tenant(World.pair(:database).first) { nil }
    expect(Tenantry.backend.shelf.size).to eq(1)
  end

  it "does not disturb a transaction that is open while somebody forks" do
    as_tenant(noisy) do |tx|
      tx.exec("SELECT 1")
      child = fork do
        Tenantry.backend
        GC.start
        status = begin
          tx.exec("SELECT 1")
          1
        rescue PG::Error, Tenantry::Error
          0
        end
        exit!(status)
      end
      expect(Process.wait2(child).last.exitstatus).to eq(0)
      expect(tx.value("SELECT tenantry.current_tenant()")).to eq(noisy.uuid)
    end
  end

  it "does not share connections with a forked child" do
    pid = as_tenant(noisy) { |tx| tx.value("SELECT pg_backend_pid()") }
    reader, writer = IO.pipe
    child = fork do
      GC.start
      writer.write(as_tenant(noisy) { |tx| tx.value("SELECT pg_backend_pid()") })
      writer.close
      exit!(0)
    end
    writer.close
    theirs = reader.read
    Process.wait(child)
    expect(theirs).to match(/\A\d+\z/)
    expect(theirs).not_to eq(pid)
    expect(as_tenant(noisy) { |tx| tx.value("SELECT pg_backend_pid()") }).to eq(pid)
  end
end
