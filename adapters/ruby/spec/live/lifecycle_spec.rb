# frozen_string_literal: true

require "rack"

# Tenants that are suspended, moved or gone, and credentials that are old. Both backends go through the same rules.
%i[plain active_record].each do |backend|
  RSpec.describe "Entering on the #{backend} backend", :live, backend: backend do
    let(:kit) { World.kit }

    def poison(store, key, value)
      Tenantry.client.instance_variable_get(store).put(key, value, 3_600)
    end

    def poison_route(tenant, **changes)
      route = Tenantry.client.route(tenant).dup
      changes.each { |name, value| route[name] = value }
      poison(:@routes, tenant.uuid, route)
    end

    def poison_credential(tenant, **changes)
      ref = Tenantry.client.route(tenant).secret_ref
      known = Tenantry.client.credential(ref)
      fields = { secret_ref: ref, role: known.role, password: known.password, kid: known.kid, key: known.key }
      poison(:@credentials, ref, Tenantry::Credential.new(**fields.merge(changes)))
    end

    World::PLANS.each_key do |level|
      describe "at level #{level}" do
        let(:tenant) { World.pair(level).first }

        def works
          expect(as_tenant(tenant) { |tx| tx.value("SELECT tenantry.current_tenant()") }).to eq(tenant.uuid)
        end

        it "follows a tenant that was moved (TN001)" do
          poison_route(tenant, generation: tenant.generation + 7)
          works
          expect(Tenantry.client.route(tenant).generation).to eq(tenant.generation)
        end

        it "looks again when the tenant is not in the place (3D000, TN003)" do
          poison_route(tenant, database: "t_00000000000000000000000000000000")
          works
        end

        it "asks for the password again when it is refused (28P01)" do
          poison_credential(tenant, password: "wrong")
          works
        end

        it "asks for the key again when it is refused (28000)" do
          poison_credential(tenant, key: "\x07".b * 32)
          works
          poison_credential(tenant, kid: 99)
          works
        end

        it "refuses a suspended tenant from the next transaction on, and serves it when it is resumed" do
          suspended, = kit.create(plan: World::PLANS.fetch(level))
          as_tenant(suspended) { |tx| expect(tx.value("SELECT 1").to_i).to eq(1) }
          kit.suspend(suspended)
          expect { Tenantry.with_tenant(suspended.slug) { nil } }.to raise_error(Tenantry::TenantSuspended)
          # Who still holds the old answer is refused by the database.
          old = suspended.dup
          expect { Tenantry::Current.with(old) { Tenantry.transaction { raise "not reached" } } }
            .to raise_error(Tenantry::TenantSuspended)
          kit.resume(suspended)
          as_tenant(suspended) { |tx| expect(tx.value("SELECT 1").to_i).to eq(1) }
        ensure
          kit.remove(suspended)
        end

        it "ends with the tenant" do
          gone, = kit.create(plan: World::PLANS.fetch(level))
          as_tenant(gone) { |tx| tx.value("SELECT 1") }
          old = gone.dup
          route = Tenantry.client.route(gone)
          kit.suspend(gone)
          kit.archive(gone)
          expect { Tenantry.with_tenant(gone.slug) { nil } }.to raise_error(Tenantry::TenantGone)
          expect { Tenantry::Current.with(old) { Tenantry.transaction { nil } } }.to raise_error(Tenantry::TenantGone)
          kit.remove(gone)
          expect { Tenantry.with_tenant(gone.slug) { nil } }.to raise_error(Tenantry::TenantNotFound)
          poison(:@routes, old.uuid, route)
          expect { Tenantry::Current.with(old) { Tenantry.transaction { nil } } }
            .to raise_error(Tenantry::TenantNotFound)
        end
      end
    end

    it "gives its permits back after every refusal" do
      Tenantry.configuration.connections_max = 1
      Tenantry.configuration.checkout_timeout = 1
      suspended, = kit.create
      kit.suspend(suspended)
      5.times do
        expect { Tenantry::Current.with(suspended) { Tenantry.transaction { nil } } }
          .to raise_error(Tenantry::TenantSuspended)
      end
      expect(Tenantry.backend.limiter.used).to eq(0)
      World::PLANS.each_key { |level| as_tenant(World.pair(level).first) { |tx| tx.exec("SELECT 1") } }
    ensure
      kit.remove(suspended)
    end

    it "says so when the database refuses for good" do
      tenant = World.pair(:shared).first
      Tenantry.configuration.connect_options = { port: 1 }
      Tenantry.reset
      expect { as_tenant(tenant) { nil } }.to raise_error(Tenantry::DatabaseUnavailable)
      expect(Tenantry.backend.limiter.used).to eq(0)
    end

    it "refuses requests of suspended and archived tenants" do
      tenant, = kit.create
      app = Tenantry::Middleware.new(->(_) { [200, {}, ["in"]] })
      get = lambda do
        status, headers, body = app.call(Rack::MockRequest.env_for("http://example.test/t/#{tenant.slug}/"))
        [status, headers["content-type"], status == 200 ? nil : JSON.parse(body.join)["code"]]
      end
      expect(get.call.first).to eq(200)
      kit.suspend(tenant)
      expect(get.call).to eq([403, "application/problem+json", "TenantSuspended"])
      kit.archive(tenant)
      expect(get.call).to eq([410, "application/problem+json", "TenantGone"])
      kit.remove(tenant)
      expect(get.call).to eq([404, "application/problem+json", "TenantNotFound"])
    end
  end
end

RSpec.describe "A streaming body", :live do
  it "ends within seconds when its tenant is suspended" do
    tenant, = World.kit.create
    sent = 0
    body = Enumerator.new { |out| loop { (out << "tick") && sleep(0.05) } }
    app = Tenantry::Middleware.new(->(_) { [200, {}, body] })
    _, _, stream = app.call(Rack::MockRequest.env_for("http://example.test/t/#{tenant.slug}/"))
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    suspended = nil
    stream.each do
      sent += 1
      if sent == 10
        World.kit.suspend(tenant)
        suspended = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end
      raise "it goes on" if Process.clock_gettime(Process::CLOCK_MONOTONIC) - started > 20
    end
    expect(sent).to be >= 10
    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - suspended).to be < 5
  ensure
    World.kit.remove(tenant)
  end
end
