# frozen_string_literal: true

# Tenants of background jobs. A job's arguments carry `{"tenant" => "ten_…", "generation" => 3}` beside its own; the
# tenant is looked up anew when the job starts, and the database checks it once more in the job's own transaction.
module Tenantry
  # The job is to be tried later: its tenant is not open at present, or something is not reachable.
  class JobHeld < Error
    def initialize(message = nil, retry_after: 60)
      super
    end
  end

  # The job must never run: it has no tenant, or its tenant is gone. Queues put it aside instead of retrying.
  class JobRefused < Error
  end

  module Job
    # The member of a job's arguments that names its tenant.
    TENANT = "tenant"
    GENERATION = "generation"
    # Seconds after which a held job is worth another try.
    HOLD = 60

    module_function

    # The arguments to enqueue: the job's own, and the current tenant.
    #
    # Raises JobRefused without a tenant, or when the tenant takes no jobs any more.
    def arguments(own = {})
      tenant = Current.tenant or raise JobRefused, "a job on tenants' data is enqueued without a tenant"
      taken = own.keys.map(&:to_s) & [TENANT, GENERATION]
      raise ArgumentError, "the argument `#{taken.first}` is the adapter's" if taken.any?

      own.transform_keys(&:to_s).merge(stamp(current(tenant)))
    end

    # The tenant's part of the arguments.
    def stamp(tenant)
      { TENANT => tenant.id, GENERATION => tenant.generation }
    end

    # Runs the block for the tenant of a job, with the job's own arguments. `transaction: false` leaves opening a
    # transaction to the job.
    #
    # Raises JobHeld (try later), JobRefused (never), or what the block raises.
    def perform(arguments, transaction: true)
      arguments = arguments.transform_keys(&:to_s)
      tenant = admitted(arguments[TENANT])
      own = arguments.except(TENANT, GENERATION)
      started = false
      Current.with(tenant) do
        Telemetry.annotate_span
        next yield(own) unless transaction

        Tenantry.transaction do
          started = true
          yield own
        end
      end
    rescue Error => error
      raise if started

      verdict(error)
    end

    # Looks the tenant up anew; a job's own knowledge may be years old.
    def admitted(id)
      raise JobRefused, "the job has no tenant" unless id.is_a?(String) && !id.empty?

      Tenantry.client.resolve(id).admit!
    rescue TenantSuspended, TenantPreparing, ControlPlaneUnavailable, TenantNotFound, TenantGone => error
      verdict(error)
    end

    # Held or refused, by what stands in the way.
    def verdict(error)
      case error
      when TenantSuspended, TenantPreparing, ControlPlaneUnavailable, PoolExhausted, DatabaseUnavailable,
           CredentialRefused
        raise JobHeld.new(error.message, retry_after: HOLD)
      when TenantNotFound, TenantGone then raise JobRefused, "the tenant is gone (#{error.message})"
      else raise error
      end
    end
    private_class_method :verdict

    # Enqueuing for a suspended tenant is fine, the job waits; for one that is gone it is refused.
    def current(tenant)
      Tenantry.client.resolve(tenant.id).tap { |now| now.admit! if now.state == "archived" }
    rescue TenantNotFound, TenantGone => error
      verdict(error)
    rescue ControlPlaneUnavailable
      tenant
    end
    private_class_method :current
  end
end
