# frozen_string_literal: true

# How many connections are in use: in all, per login and per tenant. Who waits is served in order, except that those
# who wait for their own tenant's share do not hold up others. Where more wait than may, the last one of whichever
# tenant waits most is refused.
#
# INVARIANT: a permit that was given out is given back once, whatever ends its holder.
module Tenantry
  class Limiter
    Permit = Struct.new(:login, :tenant)
    Ticket = Struct.new(:permit, :most, :refused)
    private_constant :Ticket

    def initialize(total:, per_login:, waiting_max:)
      @total = total
      @per_login = per_login
      @waiting_max = waiting_max
      @mutex = Mutex.new
      @released = ConditionVariable.new
      @waiting = []
      @logins = Hash.new(0)
      @tenants = Hash.new(0)
      @used = 0
    end

    # Takes a permit, waiting for at most `timeout` seconds. Called with interrupts held back; they are let in while
    # it waits, when nothing has been taken yet.
    #
    # Raises PoolExhausted.
    def acquire(login, tenant, most:, timeout:)
      deadline = now + timeout
      ticket = Ticket.new(Permit.new(login, tenant), most)
      @mutex.synchronize do
        @waiting << ticket
        begin
          refuse_one if @waiting.size > @waiting_max && !first?(ticket)
          wait(deadline, ticket) until first?(ticket)
          take(ticket.permit)
        ensure
          @waiting.delete_if { |other| other.equal?(ticket) }
          @released.broadcast
        end
      end
      ticket.permit
    end

    def release(permit)
      @mutex.synchronize do
        @used -= 1
        lower(@logins, permit.login)
        lower(@tenants, permit.tenant)
        @released.broadcast
      end
    end

    # Connections in use: of one tenant, or of all.
    def used(tenant = nil)
      @mutex.synchronize { tenant ? @tenants.fetch(tenant, 0) : @used }
    end

    private

    def first?(ticket)
      @waiting.find { |other| fits?(other) }.equal?(ticket)
    end

    def fits?(ticket)
      permit = ticket.permit
      @used < @total && @logins.fetch(permit.login, 0) < @per_login && @tenants.fetch(permit.tenant, 0) < ticket.most
    end

    # The newest, unless another tenant has more waiting than the newest one's.
    def refuse_one
      counts = @waiting.map { |ticket| ticket.permit.tenant }.tally
      tenant, most = counts.max_by(&:last)
      newest = @waiting.last
      tenant = newest.permit.tenant if most <= counts[newest.permit.tenant]
      ticket = @waiting.delete_at(@waiting.rindex { |other| other.permit.tenant == tenant })
      ticket.refused = true
      @released.broadcast
    end

    def wait(deadline, ticket)
      raise PoolExhausted, "too many wait for a connection" if ticket.refused

      left = deadline - now
      raise PoolExhausted, "all connections of tenant #{ticket.permit.tenant} are in use" unless left.positive?

      Thread.handle_interrupt(Object => :on_blocking) { @released.wait(@mutex, left) }
    end

    def take(permit)
      @used += 1
      @logins[permit.login] += 1
      @tenants[permit.tenant] += 1
    end

    def lower(counts, key)
      counts[key] -= 1
      counts.delete(key) unless counts[key].positive?
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
