# frozen_string_literal: true

# Two tenants in turn on one connection: what the first leaves in the session must not reach the second.
RSpec.describe "Session residue", :live do
  let(:own) { World.pair(:shared).first }
  let(:other) { World.pair(:shared).last }

  before { Tenantry.configuration.connections_max = 1 }

  def pid(transaction)
    transaction.value("SELECT pg_backend_pid()")
  end

  # What one session can hold, and how the next borrower would notice.
  vectors = {
    "a setting" => ["SET statement_timeout = '7s'", "SHOW statement_timeout", "0"],
    "a setting of meaning" => ["SET standard_conforming_strings = off", "SHOW standard_conforming_strings", "on"],
    "a search path" => ["SET search_path = app", "SELECT current_setting('search_path') = 'app'", "f"],
    "a setting of its own" => ["SET my.secret = 'canary'", "SELECT coalesce(current_setting('my.secret', true), '')",
                               ""],
    "set_config" => ["SELECT set_config('my.secret', 'canary', false)",
                     "SELECT coalesce(current_setting('my.secret', true), '')", ""],
    "read-only" => ["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SHOW default_transaction_read_only",
                    "off"],
    "a prepared statement" => ["PREPARE stolen AS SELECT 'canary'", "SELECT count(*) FROM pg_prepared_statements", "0"],
    "a held cursor" => ["DECLARE held CURSOR WITH HOLD FOR SELECT 'canary'", "SELECT count(*) FROM pg_cursors", "0"],
    "a channel" => ["LISTEN leak", "SELECT count(*) FROM pg_listening_channels()", "0"],
    "an advisory lock" => ["SELECT pg_advisory_lock(42)", "SELECT pg_advisory_unlock(42)", "f"],
    "row security" => ["SET row_security = off", "SHOW row_security", "on"],
    "a role" => ["SET ROLE NONE", "SELECT current_user = session_user", "t"]
  }
  vectors.each do |name, (leave, look, clean)|
    it "of #{name} is gone for the next tenant" do
      before = as_tenant(own) do |tx|
        tx.exec(leave)
        pid(tx)
      end
      found = as_tenant(other) do |tx|
        # One connection for both, or the test shows nothing.
        expect(pid(tx)).to eq(before)
        tx.exec(look).values.dig(0, 0)
      end
      expect(found.to_s).to eq(clean)
    end
  end

  it "of a temporary table cannot be" do
    expect { as_tenant(own) { |tx| tx.exec("CREATE TEMP TABLE orders (x text)") } }
      .to raise_error(PG::InsufficientPrivilege)
  end

  it "of a sequence is not readable by the next tenant" do
    as_tenant(own) { |tx| tx.exec("INSERT INTO channels (name) VALUES ('s-#{SecureRandom.hex(4)}')") }
    expect { as_tenant(other) { |tx| tx.exec("SELECT lastval()") } }
      .to raise_error(PG::ObjectNotInPrerequisiteState)
  end

  it "stays for the same tenant, which gets its connection back without a reset" do
    before = as_tenant(own) do |tx|
      tx.exec("PREPARE mine AS SELECT 'mine'")
      pid(tx)
    end
    as_tenant(own) { |tx| expect([pid(tx), tx.value("EXECUTE mine")]).to eq([before, "mine"]) }
  end

  it "of a tiny time limit costs a connection and not the next tenant's request" do
    as_tenant(own) { |tx| tx.exec("SET statement_timeout = '1ms'") }
    10.times { as_tenant(other) { |tx| expect(tx.value("SELECT tenantry.current_tenant()")).to eq(other.uuid) } }
  end

  # Every login may change its own defaults; what a connection is started with has to win.
  it "of settings of the login reaches nobody" do
    as_tenant(own) do |tx|
      { statement_timeout: "1ms", lock_timeout: "1ms", row_security: "off",
        search_path: "nowhere" }.each do |name, value|
        tx.exec("ALTER ROLE CURRENT_USER SET #{name} = '#{value}'")
      end
    end
    Tenantry.reset
    as_tenant(other) do |tx|
      shown = %w[statement_timeout lock_timeout row_security].map { |name| tx.value("SHOW #{name}") }
      expect(shown).to eq(%w[0 0 on])
      expect(tx.value("SELECT tenantry.current_tenant()")).to eq(other.uuid)
    end
  ensure
    role = Tenantry.client.route(own).role
    World.admin(own) { |admin| admin.exec("ALTER ROLE #{admin.quote_ident(role)} RESET ALL") }
  end

  it "of a prepared statement does not hijack the seal" do
    as_tenant(own) { |tx| tx.exec("DEALLOCATE ALL; PREPARE \"\" AS SELECT 1") }
  rescue PG::Error
    as_tenant(other) { |tx| expect(tx.value("SELECT tenantry.current_tenant()")).to eq(other.uuid) }
  end

  it "does not mix rows when tenants alternate a hundred times" do
    names = [own, other].to_h { |tenant| [tenant, "c-#{SecureRandom.hex(6)}"] }
    names.each do |tenant, name|
      as_tenant(tenant) do |tx|
        tx.exec_params("INSERT INTO channels (name) VALUES ($1)", [name])
      end
    end
    pids = []
    50.times do
      names.each do |tenant, name|
        as_tenant(tenant) do |tx|
          pids << pid(tx)
          seen = tx.exec("SELECT name FROM channels").column_values(0)
          expect(seen & names.values).to eq([name])
        end
      end
    end
    expect(pids.uniq.size).to eq(1)
  end
end
