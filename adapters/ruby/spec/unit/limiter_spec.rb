# frozen_string_literal: true

RSpec.describe Tenantry::Limiter do
  let(:limiter) { described_class.new(total: 4, per_login: 3, waiting_max: 2) }

  def take(login, tenant, most: 2, timeout: 0.05)
    limiter.acquire(login, tenant, most: most, timeout: timeout)
  end

  it "bounds a tenant, a login and all" do
    2.times { take("x", "a") }
    expect { take("x", "a") }.to raise_error(Tenantry::PoolExhausted)
    take("x", "b")
    expect { take("x", "c") }.to raise_error(Tenantry::PoolExhausted)
    take("y", "d")
    expect { take("z", "e") }.to raise_error(Tenantry::PoolExhausted)
    expect(limiter.used).to eq(4)
    expect(limiter.used("a")).to eq(2)
  end

  it "serves who waits, and lets others by who need something else" do
    permits = Array.new(2) { take("x", "a") }
    waiting = Thread.new { take("x", "a", timeout: 5) }
    Thread.pass until waiting.stop?
    expect(take("x", "b")).to be_truthy
    limiter.release(permits.first)
    expect(waiting.join(5)&.value&.tenant).to eq("a")
  end

  it "bounds those who wait" do
    2.times { take("x", "a") }
    waiting = Array.new(2) { Thread.new { take("x", "a", timeout: 5) } }
    Thread.pass until waiting.all?(&:stop?)
    expect { take("x", "a") }.to raise_error(Tenantry::PoolExhausted, /too many/)
    waiting.each(&:kill).each(&:join)
    expect { take("x", "a") }.to raise_error(Tenantry::PoolExhausted, /in use/)
  end

  it "serves others, and lets them wait, while one tenant's callers fill the queue" do
    2.times { take("x", "a") }
    flood = Array.new(2) { |number| waiting("x", "a", 5 + number) }
    expect(take("y", "b")).to be_truthy
    permit = take("x", "c")
    other = waiting("x", "d", 5)
    expect(flood.last.join(5)&.value).to match(/too many/)
    expect(other).to be_alive
    limiter.release(permit)
    expect(other.join(5)&.value&.tenant).to eq("d")
    flood.each(&:kill).each(&:join)
  end

  # A thread that waits, and gives its permit or why there is none.
  def waiting(login, tenant, timeout)
    thread = Thread.new do
      take(login, tenant, timeout: timeout)
    rescue Tenantry::PoolExhausted => error
      error.message
    end
    Thread.pass until thread.stop?
    thread
  end

  it "takes nothing for somebody who was killed while waiting" do
    permits = Array.new(2) { take("x", "a") }
    waiting = Thread.new { Thread.handle_interrupt(Object => :never) { take("x", "a", timeout: 5) } }
    Thread.pass until waiting.stop?
    waiting.kill
    waiting.join
    permits.each { |permit| limiter.release(permit) }
    expect(limiter.used).to eq(0)
  end
end
