# frozen_string_literal: true

require "socket"

# The example as its reader would start it.
RSpec.describe "examples/messages", :live do
  around do |example|
    @port = TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
    World.prepare(:plain)
    environment = { "TENANTRY_URL" => "http://127.0.0.1:#{World.relay.port}", "RACK_ENV" => "production",
                    "TENANTRY_TOKEN_FILE" => "#{World.instance_variable_get(:@data)}/admin.token",
                    "RUBYLIB" => [File.expand_path("../../lib", __dir__), ENV["RUBYLIB"]].compact.join(":") }
    folder = File.expand_path("../../examples/messages", __dir__)
    @log = Tempfile.new("puma")
    pid = Process.spawn(environment, "puma", "--bind", "tcp://127.0.0.1:#{@port}", "config.ru", chdir: folder,
                                                                                                out: @log, err: @log)
    example.run
  ensure
    Process.kill(:TERM, pid)
    Process.wait(pid)
    @log.close!
  end

  def call(path, **form)
    uri = URI("http://127.0.0.1:#{@port}#{path}")
    100.times do
      return form.empty? ? Net::HTTP.get_response(uri) : Net::HTTP.post_form(uri, form)
    rescue Errno::ECONNREFUSED
      sleep 0.1
    end
    raise "the example did not start:\n#{File.read(@log.path)}"
  end

  it "keeps each tenant's messages to it" do
    tenants = World::PLANS.keys.flat_map { |level| World.pair(level) }
    tenants.each do |tenant|
      expect(call("/t/#{tenant.slug}/messages", body: "hello from #{tenant.slug}").code).to eq("201")
    end
    tenants.each do |tenant|
      answer = JSON.parse(call("/t/#{tenant.slug}/messages").body)
      expect(answer["tenant"]).to eq(tenant.slug)
      heard = answer["messages"].map { |message| message["body"] }.grep(/\Ahello from/)
      expect(heard).to eq(["hello from #{tenant.slug}"])
    end
    expect(call("/t/#{tenants.first.slug}/messages", body: "").code).to eq("422")
    expect(call("/messages").code).to eq("400")
    expect(call("/t/nobody-has-this/messages").code).to eq("404")
  end
end
