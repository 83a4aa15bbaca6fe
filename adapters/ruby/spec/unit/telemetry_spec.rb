# frozen_string_literal: true

RSpec.describe Tenantry::Telemetry do
  let(:tenant) do
    Tenantry::Tenant.from_json("tenant" => "ten_1", "uuid" => "00000000-0000-0000-0000-000000000001", "slug" => "acme",
                               "state" => "open", "generation" => 1, "isolation" => "shared", "cell" => "main")
  end

  it "says whose span it is, where OpenTelemetry is loaded" do
    expect { Tenantry::Current.with(tenant) { described_class.annotate_span } }.not_to raise_error
    span = Class.new do
      def attributes
        @attributes ||= {}
      end

      def set_attribute(name, value)
        attributes[name] = value
      end
    end.new
    stub_const("OpenTelemetry::Trace", Module.new)
    OpenTelemetry::Trace.define_singleton_method(:current_span) { span }
    Tenantry::Current.with(tenant) { described_class.annotate_span }
    expect(span.attributes).to eq("tenant.id" => "ten_1", "tenant.slug" => "acme", "tenant.isolation" => "shared",
                                  "tenant.cell" => "main")
  end

  it "tags nothing without a tenant" do
    expect(described_class.tag).to eq("")
    expect(Tenantry::Current.with(tenant) { described_class.tag }).to eq("tenant.id=ten_1 tenant.slug=acme")
  end

  it "refuses settings that do not exist" do
    expect do
      Tenantry::Middleware.new(nil, base_domain: "x")
    end.to raise_error(Tenantry::ConfigurationError, /base_domain/)
  end
end
