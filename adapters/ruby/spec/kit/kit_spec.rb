# frozen_string_literal: true

require "open3"

# The shared examples, run as a project would run them, once sound and once with each fault.
RSpec.describe Tenantry::RSpec, :live do
  def run_sample(breakage = "")
    data = World.instance_variable_get(:@data)
    url = "http://127.0.0.1:#{World.relay.port}"
    environment = { "TENANTRY_TEST_URL" => url, "TENANTRY_TEST_DATA" => data, "SAMPLE_BREAK" => breakage }
    sample = File.expand_path("sample/models_spec.rb", __dir__)
    output, status = Open3.capture2e(environment, Gem.ruby, "-S", "rspec", "--format", "documentation", sample,
                                     chdir: File.expand_path("../..", __dir__))
    [status.success?, output]
  end

  it "passes for models that enforce tenant scope" do
    passed, output = run_sample
    expect(passed).to be(true), output
    expect(output).to include("16 examples, 0 failures")
  end

  {
    "missing" => /Reaction has no example/, "reason" => /Country is exempt without a reason/,
    "ghost" => /Ghost is exempt, and there is no such model/, "default_scope" => /has a default scope/,
    "leak" => /is not seen, changed or deleted by another tenant/
  }.each do |breakage, message|
    it "fails for #{breakage}" do
      passed, output = run_sample(breakage)
      expect(passed).to be(false), output
      expect(output).to match(message)
      # Exactly that fault.
      expect(output).to include("1 failure").or include("3 failures")
    end
  end

  describe Tenantry::Testing::Kit do
    it "makes a tenant and its user, and removes both" do
      kit = described_class.new(app: "chat", plan: "standard", regions: %w[eu-west])
      kit.user do |tenant|
        Tenantry::Current.transaction.value("INSERT INTO users (email, display_name) VALUES ($1, 'Admin') RETURNING id",
                                            ["admin@#{tenant.slug}.example"])
      end
      slug = nil
      kit.with_tenant do |tenant, user|
        slug = tenant.slug
        expect(Tenantry.transaction { |tx| tx.value("SELECT id FROM users") }).to eq(user)
      end
      expect { Tenantry.with_tenant(slug) { nil } }.to raise_error(Tenantry::TenantNotFound)
    end

    it "says what the installation refused" do
      kit = described_class.new(app: "nonesuch", plan: "starter", regions: %w[eu-west])
      expect { kit.create }.to raise_error(Tenantry::Testing::Failed, /nonesuch/)
    end
  end
end
