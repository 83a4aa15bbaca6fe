# frozen_string_literal: true

# Every statement of the example's broken application, through the adapter, at each level.
RSpec.describe "A broken application", :live do
  corpus = File.expand_path("../../../../examples/chat/broken/broken.sql", __dir__)
  entries = File.read(corpus).split(/^-- name: /).drop(1).map do |text|
    name, *lines = text.lines
    notes, sql = lines.partition { |line| line.match?(/\A-- (?:tries|expect|levels):/) }
    note = ->(key) { notes.find { |line| line.start_with?("-- #{key}:") }&.split(":", 2)&.last&.strip }
    { name: name.strip, expect: note["expect"], levels: note["levels"]&.split(/[\s,]+/),
      parts: sql.join.split(/^-- then$/).map(&:strip) }
  end

  it "has a corpus" do
    expect(entries.size).to be >= 200
    expect(entries.map { |entry| entry[:expect] }.uniq).to contain_exactly("refused", "contained", "metadata")
  end

  def plant(tenant, canary, email: "#{canary}@chat.example")
    as_tenant(tenant) do |tx|
      person = tx.value("INSERT INTO users (email, display_name) VALUES ($1, $2) ON CONFLICT (tenant_id, email) " \
                        "DO UPDATE SET display_name = $2 RETURNING id", [email, canary])
      channel = tx.value("INSERT INTO channels (name, created_by) VALUES ($1, $2) RETURNING id", [canary, person])
      tx.value("INSERT INTO messages (channel_id, author_id, body) VALUES ($1, $2, $3) RETURNING id",
               [channel, person, canary])
    end
  end

  def fill(sql, own, victim, message)
    route = Tenantry.client.route(victim)
    { "own_id" => own.uuid, "victim_id" => victim.uuid, "victim_hex" => victim.uuid.delete("-"),
      "victim_message_id" => message, "victim_schema" => route.schema, "victim_role" => route.role,
      "owner_role" => "tenantry_ctx" }.reduce(sql) { |text, (name, value)| text.gsub("{#{name}}", value) }
  end

  # Sends the parts of an entry one after the other, also after a failed one. Gives everything that came back, and
  # whether the last one failed.
  def send_parts(own, parts)
    heard = []
    failed = nil
    begin
      as_tenant(own) do |tx|
        tx.connection.set_notice_receiver { |result| heard << result.error_message }
        parts.each do |part|
          heard.concat(tx.exec(part).values.flatten.compact)
          failed = nil
        rescue PG::Error, Tenantry::TenantScopeMissing => error
          heard << error.message
          failed = error
        end
      end
    rescue PG::Error, Tenantry::Error => error
      heard << error.message
      failed ||= error
    end
    [heard, failed]
  end

  # Some entries change settings of the login, which stay for connections that are opened later, of the tests too.
  after do
    World::PLANS.each_key do |level|
      World.pair(level).each do |tenant|
        role = Tenantry.client.route(tenant).role
        World.admin(tenant) { |admin| admin.exec("ALTER ROLE #{admin.quote_ident(role)} RESET ALL") }
      end
    end
  end

  World::PLANS.each_key do |level|
    it "gets nothing of its neighbour at level #{level}" do
      Tenantry.configuration.connections_max = 1
      own, victim = World.pair(level)
      canary = "canary#{SecureRandom.hex(5)}"
      message = plant(victim, canary)
      before = as_tenant(victim) { |tx| tx.value("SELECT count(*) FROM messages") }
      leaks = []
      unrefused = []
      entries.select { |entry| entry[:levels].nil? || entry[:levels].include?(level.to_s) }.each do |entry|
        # A tenant may spoil its own session, so each entry gets a new one.
        Tenantry.backend.shelf.clear
        plant(own, "own#{SecureRandom.hex(5)}", email: "anna@chat.example")
        parts = entry[:parts].map { |part| fill(part, own, victim, message) }
        heard, failed = send_parts(own, parts)
        # The statement itself may be quoted in an error; it holds ids, never the canary.
        leaks << entry[:name] if heard.any? { |text| text.to_s.include?(canary) }
        unrefused << entry[:name] if entry[:expect] == "refused" && failed.nil?
      end
      expect(leaks).to eq([])
      expect(unrefused).to eq([])
      after = as_tenant(victim) do |tx|
        tx.rows("SELECT count(*) AS n, count(*) FILTER (WHERE body = $1) AS c FROM messages", [canary])
      end
      expect(after).to eq([{ "n" => before, "c" => "1" }])
    end
  end
end
