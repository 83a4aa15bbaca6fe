# frozen_string_literal: true

# The control plane is away, the data plane is not.
RSpec.describe "Without the control plane", :live do
  let(:tenant) { World.pair(:shared).first }
  let(:other) { World.pair(:schema).first }

  %i[refuse silent].each do |mode|
    it "serves who is known when calls are met with #{mode}" do
      pair = [tenant, other] # Whoever makes them asks for them, and for their neighbours, with the client of then.
      Tenantry.configuration.read_timeout = 0.3
      Tenantry.reset
      pair.each { |known| as_tenant(known.slug) { nil } }
      World.relay.mode = mode
      sleep 0.6 # Longer than the age that the control plane gives its answers.
      started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      100.times do
        [tenant, other].each do |known|
          expect(as_tenant(known.slug) { |tx| tx.value("SELECT tenantry.current_tenant()") }).to eq(known.uuid)
        end
      end
      # One attempt a second per memory, not one per request.
      expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - started).to be < 20
      expect { Tenantry.with_tenant(World.pair(:shared).last.slug) { nil } }
        .to raise_error(Tenantry::ControlPlaneUnavailable)
    end
  end

  it "still believes the database, which refuses a suspended tenant" do
    gone, = World.kit.create
    as_tenant(gone.slug) { nil }
    World.kit.suspend(gone)
    # As a process that has not heard of it.
    known = gone.dup
    Tenantry.client.route(known)
    World.relay.mode = :refuse
    expect { Tenantry::Current.with(known) { Tenantry.transaction { nil } } }.to raise_error(Tenantry::TenantSuspended)
    World.relay.mode = :open
  ensure
    World.relay.mode = :open
    World.kit.remove(gone)
  end

  it "does not use what is older than the bound" do
    Tenantry.configuration.stale_max = 1
    Tenantry.reset
    as_tenant(tenant.slug) { nil }
    World.relay.mode = :refuse
    sleep 1.7
    expect { Tenantry.with_tenant(tenant.slug) { nil } }.to raise_error(Tenantry::ControlPlaneUnavailable)
  end

  it "comes back by itself" do
    as_tenant(tenant.slug) { nil }
    World.relay.mode = :refuse
    sleep 0.6
    as_tenant(tenant.slug) { nil }
    World.relay.mode = :open
    sleep 1.1
    before = World.relay.count
    as_tenant(tenant.slug) { nil }
    expect(World.relay.count).to be > before
  end

  it "says what is wrong when the token is refused" do
    Tenantry.configuration.token = "ten_live_nonsense"
    Tenantry.reset
    expect { Tenantry.with_tenant("acme") { nil } }
      .to raise_error(Tenantry::ControlPlaneRefused, /TENANTRY_TOKEN/)
  end

  it "asks no more often than answers are old" do
    as_tenant(tenant.slug) { nil }
    before = World.relay.count
    200.times { as_tenant(tenant.slug) { nil } if World.relay.count == before }
    # At most resolve and route, each once per half second.
    expect(World.relay.count - before).to be <= 2
  end
end
