# frozen_string_literal: true

RSpec.describe Tenantry::Entry do
  let(:time) { [0.0] }
  let(:issued) { [] }
  let(:cache) { Tenantry::Cache.new(size: 3, stale_max: 100, clock: -> { time[0] }) }
  let(:away) { [false] }
  let(:client) { client_with(cache) }
  let(:refusal) { Tenantry::SealError.new("28P01", "password authentication failed") }

  # The two questions of an entry, with the memory of the real client.
  def client_with(cache)
    client = instance_double(Tenantry::Client, route: Struct.new(:secret_ref).new("ref"))
    allow(client).to receive(:credential) do |ref|
      cache.fetch(ref) do
        raise Tenantry::ControlPlaneUnavailable if away[0]

        [issued.push(Object.new).last, 1000]
      end
    end
    allow(client).to receive(:resolve_anew).and_raise(Tenantry::ControlPlaneUnavailable)
    allow(client).to receive(:doubt_credential) { |ref, refused| cache.doubt(ref, refused) }
    client
  end

  it "fetches one new credential for all who hold the one that was refused" do
    old = client.credential("ref")
    turns = Array.new(5) { Queue.new }
    entries = turns.map do |turn|
      Thread.new do
        described_class.new(client).call(:acme) do |_route, credential|
          # All of them began with the old one; one after the other is refused.
          next credential unless credential.equal?(old)

          turn.pop
          raise refusal
        end
      end
    end
    Thread.pass until turns.all? { |turn| turn.num_waiting == 1 }
    got = turns.zip(entries).map { |turn, entry| (turn << true) && entry.value }
    expect(issued.size).to eq(2)
    expect(got).to all(be(issued.last))
  end

  it "keeps a refused credential while the control plane is away" do
    client.credential("ref")
    away[0] = true
    expect do
      described_class.new(client).call(:acme) do |_route, credential|
        raise refusal if credential
      end
    end.to raise_error(Tenantry::TenantSuspended)
    expect(described_class.new(client).call(:acme) { |_route, credential| credential }).to be(issued.first)
  end
end
