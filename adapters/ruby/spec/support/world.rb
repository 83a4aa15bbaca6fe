# frozen_string_literal: true

require "fileutils"
require "json"
require "pg"
require "tmpdir"

# The running product: `tenantry dev` with its own PostgreSQL and the example app `chat`, and tenants for the tests.
# TENANTRY_TEST_URL and TENANTRY_TEST_DATA name one that runs already, with `--base-domain served.test`.
module World
  START_SECONDS = 120
  # A base domain that the control plane knows and the adapter does not.
  SERVED = "served.test"
  PLANS = { shared: "starter", schema: "standard", database: "enterprise" }.freeze

  module_function

  # Points the adapter at the product, through the relay, with nothing left of the test before.
  def prepare(backend)
    start
    @relay.mode = :open
    Tenantry.reset
    Tenantry.instance_variable_set(:@configuration, settings)
    if backend == :active_record
      Tenantry::ActiveRecord.install
    else
      Tenantry.backend_class = Tenantry::PlainBackend
    end
  end

  def settings
    Tenantry::Configuration.new({}).tap do |settings|
      settings.url = "http://127.0.0.1:#{@relay.port}"
      settings.token = @token
      settings.base_domains = %w[example.test]
      settings.sources = %i[host path header token]
      settings.trusted_peers = %w[10.1.0.0/16]
      settings.token_claim = ->(env) { env["test.claim"] }
      settings.custom_domains = true
      settings.logger = Logger.new(IO::NULL)
    end
  end

  def relay
    @relay
  end

  # Two tenants of each level, made once.
  def pair(level)
    @pairs ||= {}
    @pairs[level] ||= Array.new(2) do |number|
      kit.create(slug: "#{level}-#{number}-#{suffix}", plan: PLANS.fetch(level)).first
    end
  end

  def kit
    @kit ||= Tenantry::Testing::Kit.new(app: "chat", plan: "starter", regions: %w[eu-west])
  end

  # A connection as superuser to the database of a tenant: what no application has.
  def admin(tenant)
    route = Tenantry.client.route(tenant)
    connection = PG.connect(host: route.host, port: route.port, dbname: route.database, user: "postgres",
                            password: File.read("#{@data}/postgres.password").strip)
    yield connection
  ensure
    connection&.close
  end

  def stop
    @kit&.clean_up unless @folder
    @relay&.stop
    if @pid
      Process.kill(:INT, @pid)
      Process.wait(@pid)
    end
    FileUtils.remove_entry(@folder) if @folder
  end

  def start
    return if @relay
    raise "the product did not start; the first failure says why" if @tried

    @tried = true
    url = ENV["TENANTRY_TEST_URL"] || launch
    @data ||= ENV.fetch("TENANTRY_TEST_DATA")
    @token = File.read("#{@data}/admin.token").strip
    uri = URI(url)
    @relay = Relay.new(uri.host, uri.port)
  end

  def launch
    program = ENV.fetch("TENANTRY_BIN") { File.expand_path("../../../../target/debug/tenantry", __dir__) }
    raise "build tenantry first, or set TENANTRY_BIN (#{program} is missing)" unless File.executable?(program)

    @folder = Dir.mktmpdir("tenantry-ruby")
    # Root runs PostgreSQL as another user, who must be able to pass.
    File.chmod(0o755, @folder)
    @data = "#{@folder}/data"
    log = "#{@folder}/log"
    @pid = Process.spawn({ "TENANTRY_BASE_DOMAINS" => SERVED }, program, "dev", "--json", "--no-context",
                         "--listen", "127.0.0.1:0", "--data-dir", @data, out: log, err: %i[child out], in: IO::NULL)
    wait_for(log)
  end

  def wait_for(log)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + START_SECONDS
    until Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
      ready = File.readlines(log).filter_map { |line| JSON.parse(line) if line.start_with?("{") }
                  .find { |line| line["event"] == "ready" }
      return ready["url"] if ready

      if Process.wait(@pid, Process::WNOHANG)
        @pid = nil
        raise "tenantry ended:\n#{File.read(log)}"
      end

      sleep 0.1
    end
    raise "tenantry was not ready in #{START_SECONDS} s:\n#{File.read(log)}"
  end

  def suffix
    @suffix ||= SecureRandom.alphanumeric(6).downcase
  end
end
