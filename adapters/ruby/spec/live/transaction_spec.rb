# frozen_string_literal: true

RSpec.describe Tenantry, ".transaction", :live do
  World::PLANS.each_key do |level|
    describe "at level #{level}" do
      let(:first) { World.pair(level).first }
      let(:second) { World.pair(level).last }

      def write(tenant, name)
        as_tenant(tenant) { |tx| tx.value("INSERT INTO channels (name) VALUES ($1) RETURNING id", [name]) }
      end

      it "runs the same SQL for the tenant of the context" do
        names = [first, second].to_h { |tenant| [tenant, "c-#{SecureRandom.hex(6)}"] }
        names.each { |tenant, name| write(tenant, name) }
        names.each do |tenant, name|
          seen, uuid = as_tenant(tenant) do |tx|
            [tx.exec("SELECT name FROM channels").column_values(0), tx.value("SELECT tenantry.current_tenant()")]
          end
          expect(uuid).to eq(tenant.uuid)
          expect(seen).to include(name)
          expect(seen & (names.values - [name])).to be_empty
        end
      end

      it "refuses a row with another tenant's id" do
        expect do
          as_tenant(first) do |tx|
            tx.exec_params("INSERT INTO channels (tenant_id, name) VALUES ($1, 'x')", [second.uuid])
          end
        end.to raise_error(PG::Error)
        expect do
          as_tenant(first) do |tx|
            tx.exec("INSERT INTO channels (name) VALUES ('mine-#{SecureRandom.hex(4)}')")
            tx.exec_params("UPDATE channels SET tenant_id = $1", [second.uuid])
          end
        end.to raise_error(PG::Error)
      end

      it "commits at the end of the block and at no other way out of it" do
        name = "c-#{SecureRandom.hex(6)}"
        insert = ->(tx) { tx.exec_params("INSERT INTO channels (name) VALUES ($1)", [name]) }
        ways = [
          -> { as_tenant(first) { |tx| insert.call(tx) && raise("boom") } },
          -> { catch(:out) { as_tenant(first) { |tx| insert.call(tx) && throw(:out) } } },
          -> { [1].each { as_tenant(first) { |tx| insert.call(tx) && break } } },
          -> { Timeout.timeout(0.5) { as_tenant(first) { |tx| insert.call(tx) && sleep } } },
          -> { Thread.new { as_tenant(first) { |tx| insert.call(tx) && Thread.current.kill } }.join },
          -> { as_tenant(first) { |tx| insert.call(tx) && tx.exec("ROLLBACK") && tx.exec("SELECT 1") } }
        ]
        ways.each do |way|
          begin
            way.call
          rescue StandardError
            nil
          end
          expect(as_tenant(first) { |tx| tx.value("SELECT count(*) FROM channels WHERE name = $1", [name]) }).to eq("0")
        end
        as_tenant(first) { |tx| insert.call(tx) }
        expect(as_tenant(first) { |tx| tx.value("SELECT count(*) FROM channels WHERE name = $1", [name]) }).to eq("1")
      end
    end
  end

  describe "its scope" do
    let(:tenant) { World.pair(:shared).first }
    let(:other) { World.pair(:shared).last }

    it "is needed" do
      expect { Tenantry.transaction { raise "not reached" } }.to raise_tenant_scope_missing
    end

    it "ends with the block, for everybody who kept something" do
      kept = nil
      as_tenant(tenant) { |tx| kept = [tx, tx.connection] }
      expect { kept[0].exec("SELECT 1") }.to raise_tenant_scope_missing
      %i[exec async_exec query exec_params send_query prepare].each do |name|
        arguments = { exec_params: ["SELECT 1", []], prepare: %w[p SELECT] }.fetch(name, ["SELECT 1"])
        expect { kept[1].public_send(name, *arguments) }.to raise_tenant_scope_missing
      end
    end

    it "belongs to one fiber" do
      as_tenant(tenant) do |tx|
        expect { Fiber.new { tx.exec("SELECT 1") }.resume }.to raise_tenant_scope_missing
        expect { Thread.new { tx.exec("SELECT 1") }.tap { |thread| thread.report_on_exception = false }.value }
          .to raise_tenant_scope_missing
        expect(tx.value("SELECT 1")).to eq("1")
      end
    end

    it "is over when a statement of the application ends the transaction" do
      as_tenant(tenant) do |tx|
        tx.exec("COMMIT")
        expect { tx.exec("SELECT count(*) FROM channels") }.to raise_tenant_scope_missing
      end
      expect do
        as_tenant(tenant) do |tx|
          tx.exec("COMMIT; BEGIN")
          expect(tx.value("SELECT tenantry.current_tenant()")).to be_nil
          tx.exec("SELECT count(*) FROM channels")
        end
      end.to raise_error(PG::UndefinedTable)
    end

    it "joins, with a savepoint where that is asked for, and never changes the tenant" do
      as_tenant(tenant) do |tx|
        Tenantry.transaction { |inner| expect(inner).to be(tx) }
        expect { Tenantry.transaction(requires_new: true) { |inner| inner.exec("nonsense") } }.to raise_error(PG::Error)
        expect(tx.value("SELECT 1")).to eq("1")
        expect { Tenantry.with_tenant(other) { nil } }.to raise_error(Tenantry::TenantMismatch)
        expect { Tenantry::Current.without { nil } }.to raise_error(Tenantry::TenantMismatch)
      end
    end

    it "takes isolation and read-only" do
      Tenantry.with_tenant(tenant) do
        level = Tenantry.transaction(isolation: :serializable) { |tx| tx.value("SHOW transaction_isolation") }
        expect(level).to eq("serializable")
        expect { Tenantry.transaction(read_only: true) { |tx| tx.exec("DELETE FROM channels") } }
          .to raise_error(PG::ReadOnlySqlTransaction)
        expect { Tenantry.transaction(isolation: "x; DROP") { nil } }.to raise_error(ArgumentError)
      end
    end

    it "says so when a failed statement was swallowed before the commit" do
      swallow = lambda do |tx|
        tx.exec("nonsense")
      rescue PG::Error
        nil
      end
      expect { as_tenant(tenant, &swallow) }.to raise_error(PG::InFailedSqlTransaction, /rolled back/)
    end
  end

  it "enforces guarded code on any connection" do
    tenant = World.pair(:shared).first
    reports = Class.new do
      extend Tenantry::Guarded

      enforce_tenant_isolation def good
        Tenantry.transaction { |tx| tx.value("SELECT 1") }
      end

      def initialize(foreign)
        @foreign = foreign
      end

      enforce_tenant_isolation def leak
        @foreign.exec("SELECT 1")
      end

      enforce_tenant_isolation def hidden_leak(value, key: nil)
        @foreign.exec("SELECT 1")
      rescue StandardError
        [value, key]
      end
    end
    World.admin(tenant) do |foreign|
      object = reports.new(foreign)
      Tenantry.with_tenant(tenant) do
        expect(object.good).to eq("1")
        expect { object.leak }.to raise_tenant_scope_missing
        expect { object.hidden_leak(1, key: 2) }.to raise_tenant_scope_missing
      end
      expect { object.good }.to raise_tenant_scope_missing
      expect(foreign.exec("SELECT 1").getvalue(0, 0)).to eq("1")
    end
  end
end
