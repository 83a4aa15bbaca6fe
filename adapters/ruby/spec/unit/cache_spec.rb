# frozen_string_literal: true

RSpec.describe Tenantry::Cache do
  let(:time) { [0.0] }
  let(:cache) { described_class.new(size: 3, stale_max: 100, clock: -> { time[0] }) }

  def silence
    raise Tenantry::ControlPlaneUnavailable
  end

  it "keeps an answer for its age and no longer" do
    expect(cache.fetch(:a) { [1, 5] }).to eq(1)
    time[0] = 4.9
    expect(cache.fetch(:a) { [2, 5] }).to eq(1)
    time[0] = 5.0
    expect(cache.fetch(:a) { [2, 5] }).to eq(2)
  end

  it "uses an old answer only while there is nobody to ask, and not for ever" do
    cache.fetch(:a) { [1, 5] }
    time[0] = 50
    expect(cache.fetch(:a) { silence }).to eq(1)
    time[0] = 105.1
    expect { cache.fetch(:a) { silence } }.to raise_error(Tenantry::ControlPlaneUnavailable)
  end

  it "leaves a dead control plane alone for a second" do
    cache.fetch(:a) { [1, 5] }
    time[0] = 10
    calls = 0
    3.times { cache.fetch(:a) { (calls += 1) && silence } }
    expect(calls).to eq(1)
    time[0] = 11.1
    expect(cache.fetch(:a) { [2, 5] }).to eq(2)
  end

  it "does not bring back what was forgotten" do
    cache.fetch(:a) { [1, 5] }
    cache.forget(:a)
    expect { cache.fetch(:a) { silence } }.to raise_error(Tenantry::ControlPlaneUnavailable)
  end

  it "is bounded, and throws out what was used longest ago" do
    %i[a b c].each { |key| cache.fetch(key) { [key, 5] } }
    cache.fetch(:a) { raise }
    cache.fetch(:d) { [:d, 5] }
    expect(cache.size).to eq(3)
    expect(cache.fetch(:b) { [:again, 5] }).to eq(:again)
    expect(cache.peek(:d)).to eq(:d)
  end

  it "asks once for many" do
    calls = Queue.new
    answers = Array.new(20) do
      Thread.new do
        cache.fetch(:a) do
          calls << 1
          sleep 0.05
          [7, 5]
        end
      end
    end.map(&:value)
    expect(answers).to all(eq(7))
    expect(calls.size).to eq(1)
  end

  it "asks once for many to whom nobody answers" do
    calls = Queue.new
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    answers = Array.new(20) do
      Thread.new do
        cache.fetch(:a) do
          calls << 1
          sleep 0.2
          silence
        end
      rescue Tenantry::ControlPlaneUnavailable => error
        error
      end
    end.map(&:value)
    expect(answers).to all(be_a(Tenantry::ControlPlaneUnavailable))
    expect(calls.size).to be <= 2
    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - started).to be < 1.5
  end

  it "takes what is said of one key for that key only" do
    %i[a b].each { |key| cache.fetch(key) { [key, 5] } }
    time[0] = 10
    limited = -> { raise Tenantry::ControlPlaneUnavailable.new("429", answer: true) }
    expect(cache.fetch(:a) { limited.call }).to eq(:a)
    time[0] = 10.5
    expect(cache.fetch(:a) { raise "left alone for a while" }).to eq(:a)
    expect(cache.fetch(:b) { [:new, 5] }).to eq(:new)
    time[0] = 11.5
    expect(cache.fetch(:a) { [:newer, 5] }).to eq(:newer)
  end

  it "asks again for a doubted answer, which stays while there is nobody to ask" do
    old = Object.new
    cache.fetch(:a) { [old, 5] }
    cache.doubt(:a, Object.new)
    expect(cache.fetch(:a) { raise "another one is meant" }).to be(old)
    cache.doubt(:a, old)
    expect(cache.fetch(:a) { silence }).to be(old)
    time[0] = 2
    expect(cache.fetch(:a) { [:new, 5] }).to eq(:new)
  end

  it "does not wait for ever behind a call that was interrupted" do
    caller = Thread.new { cache.fetch(:a) { sleep } }
    Thread.pass until caller.stop?
    waiting = Thread.new { cache.fetch(:a) { [1, 5] } }
    Thread.pass until waiting.stop?
    caller.kill
    expect(waiting.join(5)&.value).to eq(1)
  end
end
