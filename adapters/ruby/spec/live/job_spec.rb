# frozen_string_literal: true

require "active_job"
require "tenantry/active_job"
require_relative "../support/chat"

# Jobs over a plain queue: a list of JSON texts.
RSpec.describe Tenantry::Job, :live do
  let(:queue) { [] }
  let(:first) { World.pair(:shared).first }
  let(:second) { World.pair(:database).first }

  def enqueue(own = {})
    queue << JSON.generate(described_class.arguments(own))
  end

  def work(&block)
    described_class.perform(JSON.parse(queue.shift), &block)
  end

  it "carries the tenant beside its own arguments, and runs for it" do
    [first, second].each { |tenant| Tenantry.with_tenant(tenant) { enqueue(report: 7) } }
    expect(JSON.parse(queue.first)).to eq("report" => 7, "tenant" => first.id, "generation" => first.generation)
    seen = Array.new(2) do
      work do |own|
        [own, Tenantry::Current.tenant.slug, Tenantry.transaction do |tx|
                                               tx.value("SELECT tenantry.current_tenant()")
                                             end]
      end
    end
    expect(seen).to eq([first, second].map { |tenant| [{ "report" => 7 }, tenant.slug, tenant.uuid] })
    expect(Tenantry::Current.tenant).to be_nil
  end

  it "is refused without a tenant, when it is enqueued as when it is run" do
    expect { enqueue }.to raise_error(Tenantry::JobRefused)
    [{}, { "tenant" => nil }, { "tenant" => 7 }, { "tenant" => "" },
     { "tenant" => "nobody-has-this" }].each do |arguments|
      expect { described_class.perform(arguments) { raise "not reached" } }.to raise_error(Tenantry::JobRefused)
    end
    Tenantry.with_tenant(first) { expect { enqueue(tenant: second.id) }.to raise_error(ArgumentError) }
  end

  it "is held while its tenant is suspended, runs once after, and is refused when the tenant is gone" do
    tenant, = World.kit.create
    Tenantry.with_tenant(tenant) { 2.times { enqueue } }
    World.kit.suspend(tenant)
    runs = 0
    expect { described_class.perform(JSON.parse(queue.first)) { runs += 1 } }
      .to raise_error(Tenantry::JobHeld) { |error| expect(error.retry_after).to be > 0 }
    World.kit.resume(tenant)
    work { runs += 1 }
    expect(runs).to eq(1)
    World.kit.remove(tenant)
    expect { work { runs += 1 } }.to raise_error(Tenantry::JobRefused)
    Tenantry::Current.with(tenant) { expect { enqueue }.to raise_error(Tenantry::JobRefused) }
    expect(runs).to eq(1)
  end

  it "is checked once more inside of its own transaction" do
    tenant, = World.kit.create
    stamp = described_class.stamp(tenant)
    World.kit.suspend(tenant)
    # The lookup still says open; the database does not.
    allow(Tenantry.client).to receive(:resolve).with(tenant.id).and_return(tenant)
    allow(Tenantry.client).to receive(:resolve_anew).and_raise(Tenantry::ControlPlaneUnavailable)
    expect { described_class.perform(stamp) { raise "not reached" } }.to raise_error(Tenantry::JobHeld)
  ensure
    World.kit.remove(tenant)
  end

  it "outlives a move: the generation is a hint" do
    arguments = described_class.stamp(first).merge("generation" => first.generation + 9)
    expect(described_class.perform(arguments) { Tenantry::Current.tenant.slug }).to eq(first.slug)
  end

  it "undoes what a failed job did, and passes its error on" do
    name = "j-#{SecureRandom.hex(6)}"
    job = lambda do
      described_class.perform(described_class.stamp(first)) do
        Tenantry.transaction { |tx| tx.exec_params("INSERT INTO channels (name) VALUES ($1)", [name]) }
        raise Tenantry::TenantNotFound, "of the job's own"
      end
    end
    expect(&job).to raise_error(Tenantry::TenantNotFound, "of the job's own")
    expect(as_tenant(first) { |tx| tx.value("SELECT count(*) FROM channels WHERE name = $1", [name]) }).to eq("0")
  end

  describe "in ActiveJob" do
    before(:all) do
      ActiveJob::Base.logger = Logger.new(IO::NULL)
      ActiveJob::Base.queue_adapter = :test
    end

    before { adapter.enqueued_jobs.clear }

    let(:adapter) { ActiveJob::Base.queue_adapter }
    let(:job) do
      stub_const("NoteJob", Class.new(ActiveJob::Base) do
        include Tenantry::ActiveJob
        cattr_accessor(:seen) { [] }

        def perform(text, key: nil)
          seen << [text, key, Tenantry.transaction { |tx| tx.value("SELECT tenantry.current_tenant()") }]
        end
      end).tap { |klass| klass.seen.clear }
    end

    # What a worker does with what a queue has kept.
    def run_all
      adapter.enqueued_jobs.slice!(0..).each do |data|
        ActiveJob::Base.execute(JSON.parse(JSON.generate(data.except(:job, :args, :queue))))
      end
    end

    it "runs two jobs of two tenants in one worker" do
      [first, second].each { |tenant| Tenantry.with_tenant(tenant) { job.perform_later("hi", key: 1) } }
      run_all
      expect(job.seen).to eq([first, second].map { |tenant| ["hi", 1, tenant.uuid] })
    end

    it "refuses to enqueue without a tenant, and to run without one" do
      expect { job.perform_later("hi") }.to raise_error(Tenantry::JobRefused)
      expect(adapter.enqueued_jobs).to be_empty
      job.perform_now("hi")
      expect(job.seen).to be_empty
    end

    it "performs on the spot for the current tenant" do
      Tenantry.with_tenant(first) { job.perform_now("now") }
      expect(job.seen).to eq([["now", nil, first.uuid]])
    end

    it "retries what is held, with its tenant, and discards what is refused" do
      tenant, = World.kit.create
      Tenantry.with_tenant(tenant) { job.perform_later("held") }
      World.kit.suspend(tenant)
      run_all
      expect(job.seen).to be_empty
      expect(adapter.enqueued_jobs.size).to eq(1)
      World.kit.resume(tenant)
      run_all
      expect(job.seen).to eq([["held", nil, tenant.uuid]])
      Tenantry.with_tenant(tenant) { job.perform_later("never") }
      World.kit.remove(tenant)
      run_all
      expect(adapter.enqueued_jobs).to be_empty
      expect(job.seen.size).to eq(1)
    end
  end
end
