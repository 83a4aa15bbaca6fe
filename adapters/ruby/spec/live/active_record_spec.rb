# frozen_string_literal: true

require_relative "../support/chat"

RSpec.describe Tenantry::ActiveRecord, :live, backend: :active_record do
  def say(body)
    channel = Channel.create!(name: "c-#{SecureRandom.hex(6)}")
    channel.messages.create!(body: body)
  end

  World::PLANS.each_key do |level|
    describe "at level #{level}" do
      let(:first) { World.pair(level).first }
      let(:second) { World.pair(level).last }

      it "keeps models to the tenant, without a condition" do
        words = [first, second].to_h { |tenant| [tenant, "w-#{SecureRandom.hex(6)}"] }
        words.each { |tenant, word| as_tenant(tenant) { say(word) } }
        words.each do |tenant, word|
          as_tenant(tenant) do
            expect(Message.where(body: words.values).pluck(:body)).to eq([word])
            expect(Message.joins(:channel).where(body: words.values).count).to eq(1)
            expect(Message.for_current_tenant.count).to eq(Message.count)
            expect(Message.last.tenant_id).to eq(tenant.uuid)
          end
        end
      end

      it "refuses another tenant's id at save, and in the database where callbacks are skipped" do
        as_tenant(first) do |tx|
          message = say("mine")
          expect(Message.new(body: "x", channel: message.channel, tenant_id: second.uuid)).not_to be_valid
          stray = Channel.new(name: "x", tenant_id: second.uuid)
          expect { stray.save(validate: false) }.to raise_error(Tenantry::TenantMismatch)
          expect { tx.savepoint { Message.where(id: message.id).update_all(tenant_id: second.uuid) } }
            .to raise_error(ActiveRecord::StatementInvalid)
          insert = "INSERT INTO channels (name, tenant_id) VALUES ('x', $1)"
          expect { tx.savepoint { tx.exec_params(insert, [second.uuid]) } }.to raise_error(PG::InsufficientPrivilege)
          expect(Message.find(message.id).body).to eq("mine")
        end
      end
    end
  end

  describe "without a tenant's transaction" do
    let(:tenant) { World.pair(:shared).first }

    queries = {
      "count" => -> { Message.count }, "find" => -> { Message.find(1) }, "pluck" => -> { Message.pluck(:id) },
      "exists?" => -> { Message.exists? }, "create" => -> { Channel.create!(name: "x") },
      "update_all" => -> { Message.update_all(body: "x") }, "delete_all" => -> { Message.delete_all },
      "insert_all" => -> { Channel.insert_all([{ name: "x" }]) }, "find_by_sql" => lambda {
                                                                                     Message.find_by_sql("SELECT 1")
                                                                                   },
      "execute" => -> { ActiveRecord::Base.connection.execute("SELECT 1") },
      "select_all" => -> { ActiveRecord::Base.connection.select_all("SELECT 1") },
      "transaction" => -> { Message.transaction { Message.count } }
    }
    queries.each do |name, query|
      it "refuses #{name}, with a tenant set as without" do
        expect(&query).to raise_tenant_scope_missing
        Tenantry.with_tenant(tenant) { expect(&query).to raise_tenant_scope_missing }
      end
    end

    it "refuses a connection that was kept, and does not send" do
      kept = nil
      record = nil
      relation = nil
      as_tenant(tenant) do
        kept = ActiveRecord::Base.connection
        record = Channel.create!(name: "k-#{SecureRandom.hex(6)}")
        relation = Channel.all
        nil
      end
      [
        -> { kept.execute("SELECT 1") }, -> { kept.select_value("SELECT 1") }, lambda {
                                                                                 kept.transaction do
                                                                                   kept.execute("SELECT 1")
                                                                                 end
                                                                               },
        -> { kept.begin_db_transaction }, -> { record.update!(topic: "x") }, -> { record.reload }, -> { relation.load }
      ].each { |attempt| expect(&attempt).to raise_tenant_scope_missing }
    end

    it "loads a relation that the block ends with" do
      as_tenant(tenant) { Channel.create!(name: "l-#{SecureRandom.hex(6)}") }
      expect(as_tenant(tenant) { Channel.all }.map(&:tenant_id).uniq).to eq([tenant.uuid])
    end

    it "refuses another fiber of the same thread" do
      as_tenant(tenant) do
        expect { Fiber.new { Message.count }.resume }.to raise_tenant_scope_missing
        expect(Fiber.new { Tenantry::Current.tenant }.resume).to be_nil
        expect(Message.count).to be >= 0
      end
    end
  end

  describe "transactions" do
    let(:tenant) { World.pair(:shared).first }
    let(:other) { World.pair(:shared).last }

    def count(name)
      as_tenant(tenant) { Channel.where(name: name).count }
    end

    it "commit at the end, and roll back at every other way out" do
      name = "t-#{SecureRandom.hex(6)}"
      ways = [
        -> { as_tenant(tenant) { Channel.create!(name: name) && raise("boom") } },
        -> { as_tenant(tenant) { Channel.create!(name: name) && raise(ActiveRecord::Rollback) } },
        -> { catch(:out) { as_tenant(tenant) { Channel.create!(name: name) && throw(:out) } } },
        -> { [1].each { as_tenant(tenant) { Channel.create!(name: name) && break } } },
        -> { Timeout.timeout(0.5) { as_tenant(tenant) { Channel.create!(name: name) && sleep } } },
        lambda {
          Timeout.timeout(0.5) do
            as_tenant(tenant) do |tx|
              Channel.create!(name: name) && tx.exec("SELECT pg_sleep(9)")
            end
          end
        },
        -> { Thread.new { as_tenant(tenant) { Channel.create!(name: name) && Thread.current.kill } }.join }
      ]
      ways.each_with_index do |way, index|
        begin
          way.call
        rescue StandardError
          nil
        end
        expect(count(name)).to eq(0), "way #{index}"
        expect(Tenantry.backend.limiter.used).to eq(0)
      end
      as_tenant(tenant) { Channel.create!(name: name) }
      expect(count(name)).to eq(1)
    end

    it "nest as savepoints, and join by default" do
      name = "n-#{SecureRandom.hex(6)}"
      as_tenant(tenant) do
        # The first statement is behind a savepoint: newer Active Record would restart the transaction instead.
        Channel.transaction(requires_new: true) do
          Channel.create!(name: "#{name}-1")
          raise ActiveRecord::Rollback
        end
        expect(Tenantry::Current.transaction.value("SELECT tenantry.current_tenant()")).to eq(tenant.uuid)
        Tenantry.transaction { Channel.create!(name: "#{name}-2") }
        begin
          Tenantry.transaction(requires_new: true) { Channel.create!(name: "#{name}-3") && raise("boom") }
        rescue RuntimeError
          nil
        end
      end
      expect(as_tenant(tenant) { Channel.where("name LIKE ?", "#{name}%").pluck(:name) }).to eq(["#{name}-2"])
    end

    it "let callbacks after the commit open their own" do
      Message.counted = nil
      total = as_tenant(tenant) do
        say("counted")
        Message.count
      end
      expect(Message.counted).to eq(total)
      expect(Tenantry.backend.limiter.used).to eq(0)
    end

    it "report a failed statement that was swallowed" do
      swallow = lambda do
        as_tenant(tenant) do
          ActiveRecord::Base.connection.execute("nonsense")
        rescue ActiveRecord::StatementInvalid
          nil
        end
      end
      expect(&swallow).to raise_error(ActiveRecord::StatementInvalid, /rolled back/)
    end

    it "leave nothing in the query cache, in prepared statements, or in settings" do
      Tenantry.configuration.connections_per_login = 1
      Tenantry.reset
      shown = lambda do |known|
        as_tenant(known) do |tx|
          [tx.value("SELECT pg_backend_pid()"), Channel.order(:name).pluck(:name), Channel.find_by(name: "q").nil?,
           tx.value("SHOW IntervalStyle"), tx.value("SHOW client_min_messages"), tx.value("SHOW statement_timeout")]
        end
      end
      expected = [tenant, other].to_h { |known| [known.uuid, shown.call(known).drop(1)] }
      pids = []
      10.times do
        [tenant, other].each do |known|
          as_tenant(known) { |tx| tx.connection.exec("SET statement_timeout = '9s'; SET IntervalStyle = 'postgres'") }
          shift = known.same?(tenant) ? other : tenant
          pid, *seen = shown.call(shift)
          pids << pid
          expect(seen).to eq(expected[shift.uuid])
        end
      end
      expect(pids.uniq.size).to eq(1)
    end

    it "do not answer one tenant from what another has read" do
      Tenantry.configuration.connections_per_login = 1
      Tenantry.reset
      names = [tenant, other].to_h { |known| [known.uuid, "q-#{SecureRandom.hex(6)}"] }
      [tenant, other].each { |known| as_tenant(known) { Channel.create!(name: names[known.uuid]) } }
      # As the executor of Rails does for every request.
      as_tenant(tenant) { ActiveRecord::Base.connection_pool.enable_query_cache! }
      3.times do
        [tenant, other].each do |known|
          as_tenant(known) do
            read = -> { Channel.where(name: names.values).pluck(:name) }
            expect(read.call).to eq([names[known.uuid]])
            heard = []
            note = ->(*event) { heard << event.last[:cached] }
            ActiveSupport::Notifications.subscribed(note, "sql.active_record", &read)
            # The cache is on, or this shows nothing.
            expect(heard).to eq([true])
          end
        end
      end
    end

    it "belong to the tenant also when the cache is asked through a kept connection" do
      ActiveRecord::Base.cache do
        kept = as_tenant(tenant) do
          ActiveRecord::Base.connection.enable_query_cache!
          ActiveRecord::Base.connection.select_all("SELECT 'cached'")
          ActiveRecord::Base.connection
        end
        expect { kept.select_all("SELECT 'cached'") }.to raise_tenant_scope_missing
      end
    end

    it "keep within the tenant's share" do
      Tenantry.configuration.connections_per_tenant = 2
      Tenantry.configuration.checkout_timeout = 10
      Tenantry.reset
      peak = 0
      threads = Array.new(8) do
        Thread.new { 5.times { as_tenant(tenant) { |tx| tx.exec("SELECT pg_sleep(0.01)") } } }
      end
      while threads.any?(&:alive?)
        peak = [peak, Tenantry.backend.limiter.used(tenant.uuid)].max
        sleep 0.002
      end
      threads.each(&:join)
      expect(peak).to eq(2)
    end
  end

  it "keeps passwords out of what Active Record keeps and announces" do
    tenant = World.pair(:database).first
    heard = []
    listener = ActiveSupport::Notifications.subscribe(/active_record/) { |*event| heard << event.inspect }
    as_tenant(tenant) { Message.count }
    password = Tenantry.client.credential(Tenantry.client.route(tenant).secret_ref).password
    as_tenant(tenant) { heard << ActiveRecord::Base.connection_db_config.configuration_hash.inspect }
    expect(heard.join).to include("tenantry").and(satisfy { |text| !text.include?(password) })
  ensure
    ActiveSupport::Notifications.unsubscribe(listener)
  end

  it "does not share connections with a forked child" do
    tenant = World.pair(:shared).first
    backend_pid = ->(known) { as_tenant(known) { |tx| tx.value("SELECT pg_backend_pid()").to_s } }
    before = backend_pid.call(tenant)
    reader, writer = IO.pipe
    child = fork do
      GC.start
      writer.write(backend_pid.call(tenant))
      writer.close
      exit!(0)
    end
    writer.close
    theirs = reader.read
    Process.wait(child)
    expect(theirs).to match(/\A\d+\z/)
    expect(theirs).not_to eq(before)
    expect(backend_pid.call(tenant)).to eq(before)
  end

  it "bounds the number of pools" do
    stub_const("Tenantry::ActiveRecord::Logins::MOST", 2)
    3.times do
      World::PLANS.each_key { |level| as_tenant(World.pair(level).first) { expect(Message.count).to be >= 0 } }
      expect(Tenantry::ActiveRecord::Logins.size).to be <= 2
    end
  end

  it "tells acts_as_tenant" do
    gem = Module.new do
      class << self
        attr_accessor :current_tenant

        def with_tenant(tenant)
          before = current_tenant
          self.current_tenant = tenant
          yield
        ensure
          self.current_tenant = before
        end
      end
    end
    stub_const("ActsAsTenant", gem)
    require "tenantry/acts_as_tenant"
    Tenantry::ActsAsTenant.install
    tenant = World.pair(:shared).first
    expect(as_tenant(tenant) { gem.current_tenant.id }).to eq(tenant.uuid)
    expect(gem.current_tenant).to be_nil
  ensure
    Tenantry::ActsAsTenant.uninstall
  end
end
