# frozen_string_literal: true

# The live specs show that the database computes the same; these show that every input matters.
RSpec.describe Tenantry::Seal do
  let(:key) { "\x01".b * 32 }
  let(:backend) { described_class::Backend.new(1, 2) }
  let(:uuid) { "00000000-0000-0000-0000-000000000005" }

  def token(key: self.key, backend: self.backend, uuid: self.uuid, generation: 3)
    described_class.token(described_class.capability(key, backend), uuid, generation)
  end

  it "gives another token for every other input" do
    others = [
      token(key: "\x02".b * 32), token(backend: described_class::Backend.new(9, 2)),
      token(backend: described_class::Backend.new(1, 9)), token(uuid: "00000000-0000-0000-0000-000000000006"),
      token(generation: 4), described_class.proof(key, backend)
    ]
    expect(others).not_to include(token)
    expect(others.uniq.size).to eq(others.size)
  end

  it "is a fixed function of bytes" do
    inner = OpenSSL::Digest::SHA256.digest("#{key}tenantry seal arm 1\0\0\0\1\0\0\0\0\0\0\0\2".b)
    expect(described_class.proof(key, backend)).to eq(OpenSSL::Digest::SHA256.digest(key + inner))
    expect(described_class.capability(key, backend).bytesize).to eq(16)
    expect(token.bytesize).to eq(32)
  end

  it "keeps secrets to itself" do
    credential = Tenantry::Credential.new(secret_ref: "cell/x", role: "r", password: "swordfish", kid: 1, key: key)
    texts = [credential.inspect, credential.to_s, "#{credential}"] # rubocop:disable Style/RedundantInterpolation
    expect(texts.join).not_to include("swordfish")
    expect { Marshal.dump(credential) }.to raise_error(TypeError)
    expect { JSON.generate(credential) }.to raise_error(TypeError)
  end
end
