# frozen_string_literal: true

RSpec.describe Tenantry::Host do
  bases = %w[example.test eu.example.test].freeze

  {
    "acme.example.test" => "acme.example.test", "ACME.Example.Test" => "acme.example.test",
    "acme.example.test." => "acme.example.test", "acme.example.test:8080" => "acme.example.test",
    "acme.example.test.:443" => "acme.example.test", "xn--bcher-kva.example.test" => "xn--bcher-kva.example.test",
    "localhost" => "localhost"
  }.each do |text, name|
    it("reads #{text}") { expect(described_class.parse(text)).to eq(name) }
  end

  [
    nil, "", ".", "..", "acme..example.test", ".example.test", "acme.example.test..", "acme.example.test:",
    "acme.example.test:0", "acme.example.test:65536", "acme.example.test:+80", "acme.example.test:80:80",
    "acme%00.example.test", "acme\0.example.test", "acme_x.example.test", "-acme.example.test", "acme-.example.test",
    "127.0.0.1", "[::1]", "1.2.3.4:80", "acme.example.test, globex.example.test", "acme.example.test/x",
    "user@acme.example.test", "bücher.example.test", "#{'a' * 300}.example.test", "#{'a' * 64}.example.test",
    " acme.example.test", "acme.example.test\n"
  ].each do |text|
    it("refuses #{text.inspect[0, 40]}") { expect(described_class.parse(text)).to be_nil }
  end

  {
    "acme.example.test" => [:tenant, "acme"], "acme.eu.example.test" => [:tenant, "acme"], "example.test" => :base,
    "eu.example.test" => :base, "a.b.example.test" => :nobody, "evil-example.test" => :elsewhere,
    "a.example.test.evil.tld" => :elsewhere, "example.test.evil.tld" => :elsewhere, "test" => :elsewhere
  }.each do |name, below|
    it("places #{name}") { expect(described_class.below(name, bases)).to eq(below) }
  end
end
