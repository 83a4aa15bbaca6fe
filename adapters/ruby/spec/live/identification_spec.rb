# frozen_string_literal: true

require "rack"

RSpec.describe Tenantry::Middleware, :live do
  let(:first) { World.pair(:shared).first }
  let(:second) { World.pair(:shared).last }
  let(:app) do
    lambda do |env|
      seen = { tenant: Tenantry::Current.tenant&.slug, script: env["SCRIPT_NAME"], path: env["PATH_INFO"] }
      [200, { "content-type" => "application/json" }, [JSON.generate(seen)]]
    end
  end
  let(:middleware) { described_class.new(app) }

  def get(path: "/", host: "example.test", peer: "10.1.0.1", **headers)
    env = Rack::MockRequest.env_for("http://placeholder#{path}")
    env.merge!("HTTP_HOST" => host, "REMOTE_ADDR" => peer).merge!(headers.transform_keys(&:to_s))
    status, headers, body = middleware.call(env)
    expect(Tenantry::Current.tenant).to be_nil
    [status, JSON.parse(body.each.to_a.join), headers]
  end

  # How each source names a tenant.
  def naming(source, tenant)
    case source
    when :host then { host: "#{tenant.slug}.example.test" }
    when :path then { path: "/t/#{tenant.slug}/orders" }
    when :header then { HTTP_X_TENANT_ID: tenant.id }
    when :token then { "test.claim": tenant.id }
    end
  end

  Tenantry::Configuration::SOURCES.each do |source|
    it "identifies by #{source} alone" do
      status, seen, = get(**naming(source, first))
      expect([status, seen["tenant"]]).to eq([200, first.slug])
    end
  end

  Tenantry::Configuration::SOURCES.combination(2).each do |one, other|
    it "lets #{one} and #{other} agree" do
      status, seen, = get(**naming(one, first), **naming(other, first))
      expect([status, seen["tenant"]]).to eq([200, first.slug])
    end

    it "refuses #{one} and #{other} that disagree, in either order" do
      [[first, second], [second, first]].each do |a, b|
        status, problem, headers = get(**naming(one, a), **naming(other, b))
        expect([status, problem["code"], headers["content-type"]])
          .to eq([400, "TenantMismatch", "application/problem+json"])
      end
    end

    it "refuses an unknown #{other} beside a good #{one}" do
      unknown = first.dup.tap { |tenant| tenant.slug = "nobody-has-this" }
      unknown.id = "ten_00000000000000000000000000"
      status, = get(**naming(one, first), **naming(other, unknown))
      expect(status).to eq(404)
    end
  end

  it "takes /t/<slug> from the path and gives it to the script name" do
    { "/t/#{first.slug}/orders/7" => "/orders/7", "/t/#{first.slug}" => "",
      "/t/#{first.slug}/" => "/" }.each do |path, left|
      _, seen, = get(path: path)
      expect(seen).to include("tenant" => first.slug, "script" => "/t/#{first.slug}", "path" => left)
    end
  end

  it "names nobody by a path that only looks like it" do
    %w[/t /orders/t/acme //t/acme /T/acme /tt/acme].each { |path| expect(get(path: path).first).to eq(400), path }
    ["/t/", "/t//x", "/t/ACME", "/t/%61cme", "/t/acme%00", "/t/../acme", "/t/a_b"].each do |path|
      expect(get(path: path).first).to eq(404), path
    end
  end

  # The hosts of the red team: all but the normal forms name nobody, or are refused.
  it "compares hosts in one form" do
    slug = first.slug
    ["#{slug}.example.test.", "#{slug.upcase}.EXAMPLE.test", "#{slug}.example.test:8443"].each do |host|
      status, seen, = get(host: host)
      expect([status, seen["tenant"]]).to eq([200, slug]), host
    end
  end

  {
    "a foreign suffix" => ["%s.example.test.evil.tld", 404],
    "a suffix inside of a label" => ["%s.evil-example.test", 404],
    "a glued base" => ["%sexample.test", 404], "two labels" => ["%s.x.example.test", 404],
    "a percent sign" => ["%s%%00.example.test", 400], "a NUL" => ["%s\0.example.test", 400],
    "an empty label" => ["%s..example.test", 400], "no label" => [".example.test", 400],
    "a second final dot" => ["%s.example.test..", 400], "punycode" => ["xn--%s.example.test", 404],
    "300 bytes" => ["#{'a' * 290}%s.example.test", 400], "two hosts" => ["%s.example.test, x.example.test", 400],
    "a bad port" => ["%s.example.test:99999", 400], "an underscore" => ["_%s.example.test", 400],
    "the base itself" => ["example.test", 400], "an address" => ["127.0.0.1", 400], "IPv6" => ["[::1]:80", 400]
  }.each do |name, (form, expected)|
    it "does not serve #{name}" do
      status, body, = get(host: format(form, first.slug))
      expect([status, body["tenant"]]).to eq([expected, nil])
    end
  end

  it "ignores X-Forwarded-Host unless told, and then believes listed peers and the last hop only" do
    forwarded = { HTTP_X_FORWARDED_HOST: "#{second.slug}.example.test, #{first.slug}.example.test" }
    expect(get(host: "#{second.slug}.example.test", **forwarded)[1]["tenant"]).to eq(second.slug)
    Tenantry.configuration.forwarded_host = true
    told = described_class.new(app)
    allow(self).to receive(:middleware).and_return(told)
    expect(get(host: "#{second.slug}.example.test", **forwarded)[1]["tenant"]).to eq(first.slug)
    expect(get(host: "#{second.slug}.example.test", peer: "10.9.0.1", **forwarded)[1]["tenant"]).to eq(second.slug)
  end

  it "passes over X-Tenant-ID of strangers, and of anybody where it is no source" do
    [first.id, first.slug, "nobody-has-this", "a b", ""].each do |text|
      status, problem, = get(peer: "203.0.113.9", HTTP_X_TENANT_ID: text)
      expect([status, problem["code"]]).to eq([400, "TenantRefused"]), text
      seen = get(host: "#{second.slug}.example.test", peer: "203.0.113.9", HTTP_X_TENANT_ID: text)[1]
      expect(seen["tenant"]).to eq(second.slug), text
    end
    hosts_only = described_class.new(app, sources: %i[host])
    allow(self).to receive(:middleware).and_return(hosts_only)
    expect(get(HTTP_X_TENANT_ID: first.id).first).to eq(400)
    expect(get(host: "#{second.slug}.example.test", HTTP_X_TENANT_ID: first.id)[1]["tenant"]).to eq(second.slug)
  end

  it "refuses a header or claim that is no name" do
    ["", "cel_01m7zehp42e4ybzc7kwq5tkkzd", "ten_short", "a b", "#{first.id},#{first.id}", "' OR 1=1"].each do |text|
      expect(get(HTTP_X_TENANT_ID: text).first).to eq(404), text
      expect(get("test.claim": text).first).to eq(404), text
    end
  end

  it "leaves health alone, and lets requests without a tenant through where that is allowed" do
    expect(get(path: "/livez")[1]).to include("tenant" => nil, "path" => "/livez")
    expect(get(path: "/livez/x").first).to eq(400)
    open = described_class.new(app, require_tenant: false)
    allow(self).to receive(:middleware).and_return(open)
    expect(get[0..1]).to match([200, include("tenant" => nil)])
    expect(get(path: "/t/nobody-has-this/").first).to eq(404)
  end

  it "serves one fixed tenant where there is no routing" do
    fixed = described_class.new(app, fixed_tenant: first.slug)
    allow(self).to receive(:middleware).and_return(fixed)
    expect(get(host: "anything.net", path: "/t/x")[1]).to include("tenant" => first.slug, "path" => "/t/x")
  end

  it "asks the control plane about hosts below none of its bases, where that is wanted" do
    host = "#{first.slug}.#{World::SERVED}"
    expect(get(host: host)[1]["tenant"]).to eq(first.slug)
    ["nobody-has-this.#{World::SERVED}", World::SERVED, "chat.unknown.example"].each do |unknown|
      expect(get(host: unknown).first).to eq(404), unknown
    end
    own = described_class.new(app, custom_domains: false)
    allow(self).to receive(:middleware).and_return(own)
    expect(get(host: host).first).to eq(400)
  end

  it "answers alike for unknown and malformed names" do
    answers = ["/t/nobody-has-this/", "/t/NO/"].map { |path| get(path: path)[1] }
    expect(answers.uniq.size).to eq(1)
    expect(answers.first).to eq("type" => "about:blank", "title" => "Tenant not found", "status" => 404,
                                "code" => "TenantNotFound")
  end

  describe "the context" do
    def serve(body = ["x"], &block)
      stack = described_class.new(lambda { |_|
        block&.call
        [200, {}, body]
      })
      stack.call(Rack::MockRequest.env_for("http://example.test/t/#{first.slug}/"))
    end

    it "is gone after an error" do
      expect { serve { raise "boom" } }.to raise_error("boom")
      expect(Tenantry::Current.tenant).to be_nil
    end

    it "is gone after throw and after a timeout" do
      expect(catch(:halt) { serve { throw :halt, :out } }).to eq(:out)
      expect(Tenantry::Current.tenant).to be_nil
      expect { Timeout.timeout(0.05) { serve { sleep } } }.to raise_error(Timeout::Error)
      expect(Tenantry::Current.tenant).to be_nil
    end

    it "is not seen by other threads and fibers" do
      seen = []
      serve do
        seen << Thread.new { Tenantry::Current.tenant }.value
        seen << Fiber.new { Tenantry::Current.tenant }.resume
        seen << Tenantry::Current.tenant.slug
      end
      expect(seen).to eq([nil, nil, first.slug])
    end

    it "lasts while a body is made, and no longer" do
      body = Enumerator.new { |out| 2.times { out << Tenantry::Current.tenant&.slug.to_s } }
      _, _, sent = serve(body)
      expect(Tenantry::Current.tenant).to be_nil
      expect(sent.each.to_a).to eq([first.slug] * 2)
      expect(Tenantry::Current.tenant).to be_nil
    end

    it "is told to log lines" do
      out = StringIO.new
      logger = Logger.new(out, formatter: Tenantry::LogFormatter.new)
      serve { logger.info("inside") }
      logger.info("outside")
      lines = out.string.lines
      expect(lines.first).to include("tenant.id=#{first.id} tenant.slug=#{first.slug} inside")
      expect(lines.last).not_to include("tenant.")
    end
  end
end
