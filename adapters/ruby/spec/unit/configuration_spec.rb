# frozen_string_literal: true

RSpec.describe Tenantry::Configuration do
  let(:settings) { described_class.new({}) }

  it "reads the environment" do
    read = described_class.new("TENANTRY_URL" => "https://cp.test:7070", "TENANTRY_ENVIRONMENT" => "staging",
                               "TENANTRY_TOKEN" => "secret-token", "TENANTRY_TENANT" => "acme")
    expect([read.url.to_s, read.environment, read.token, read.fixed_tenant])
      .to eq(["https://cp.test:7070", "staging", "secret-token", "acme"])
    expect(read.inspect).not_to include("secret-token")
  end

  it "refuses what cannot work, when it is set" do
    {
      url: ["ftp://x", "not a url", "https://user:pass@x"], base_domains: ["exa mple", "127.0.0.1"],
      sources: [:cookie], trusted_peers: ["10.0.0.0/99"]
    }.each do |name, values|
      values.each do |value|
        expect do
          settings.public_send("#{name}=", value)
        end.to raise_error(Tenantry::ConfigurationError), "#{name}=#{value}"
      end
    end
  end

  it "sends passwords over a network with TLS only" do
    settings.url = "http://cp.internal:7070"
    expect { settings.check! }.to raise_error(Tenantry::ConfigurationError, /in the clear/)
    settings.insecure_http = true
    expect { settings.check! }.not_to raise_error
    %w[http://127.0.0.1:1 http://localhost:1 https://cp.internal].each do |url|
      local = described_class.new("TENANTRY_URL" => url)
      expect { local.check! }.not_to raise_error
    end
    expect { described_class.new("TENANTRY_URL" => "http://127.0.0.1.evil.test").check! }
      .to raise_error(Tenantry::ConfigurationError)
  end

  it "trusts the networks that it is told, and nobody else" do
    settings.trusted_peers = %w[10.1.0.0/16 fd00::/8]
    trusted = %w[10.1.2.3 ::ffff:10.1.2.3 fd00::1].map { |peer| settings.trusted?("REMOTE_ADDR" => peer) }
    others = ["10.2.0.1", "::1", "", nil, "nonsense"].map { |peer| settings.trusted?("REMOTE_ADDR" => peer) }
    expect(trusted).to all(be(true))
    expect(others).to all(be(false))
    expect(described_class.new({}).trusted?("REMOTE_ADDR" => "127.0.0.1")).to be(false)
  end
end
