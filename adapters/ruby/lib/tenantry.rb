# frozen_string_literal: true

require "timeout"

require_relative "tenantry/version"
require_relative "tenantry/errors"
require_relative "tenantry/tenant"
require_relative "tenantry/host"
require_relative "tenantry/configuration"
require_relative "tenantry/seal"
require_relative "tenantry/current"
require_relative "tenantry/cache"
require_relative "tenantry/http"
require_relative "tenantry/client"
require_relative "tenantry/connection"
require_relative "tenantry/seal_error"
require_relative "tenantry/limiter"
require_relative "tenantry/shelf"
require_relative "tenantry/entry"
require_relative "tenantry/transaction"
require_relative "tenantry/plain_backend"
require_relative "tenantry/guard"
require_relative "tenantry/problem"
require_relative "tenantry/identify"
require_relative "tenantry/middleware"
require_relative "tenantry/job"
require_relative "tenantry/controller"
require_relative "tenantry/telemetry"
require_relative "tenantry/fork"

# The tenancy of an application: which tenant a request or job is for, and a way to its data that leads nowhere else.
module Tenantry
  @mutex = Mutex.new

  class << self
    # The settings in force.
    def configuration
      @mutex.synchronize { @configuration ||= Configuration.new }
    end

    # Changes settings. Clients and connections that were made before are let go.
    def configure
      yield configuration
      reset
    end

    # The client of the control plane.
    def client
      settings = configuration
      @mutex.synchronize { @client ||= Client.new(settings) }
    end

    # What opens transactions: connections of our own, or those of Active Record once it is installed.
    def backend
      settings = configuration
      known = client
      @mutex.synchronize { @backend ||= (@backend_class || PlainBackend).new(known, settings) }
    end

    # Chooses what opens transactions. Frameworks' adapters call it.
    def backend_class=(backend_class)
      reset
      @backend_class = backend_class
    end

    # Runs the block for a tenant, given as a Tenant, a slug or an id.
    #
    # Raises what Client#resolve and Tenant#admit! raise.
    def with_tenant(tenant, &block)
      tenant = client.resolve(tenant) unless tenant.is_a?(Tenant)
      Current.with(tenant.admit!, &block)
    end

    # Runs the block inside of a transaction of the current tenant. Inside of an open one it joins that; with
    # `requires_new` behind a savepoint.
    #
    # The transaction commits when the block comes to its end. An error, `throw`, `break`, a timeout or the end of the
    # thread roll it back.
    #
    # isolation: :read_committed (default), :repeatable_read or :serializable. read_only: refuses writes.
    #
    # Raises TenantScopeMissing, TenantSuspended, TenantGone, TenantNotFound, PoolExhausted, DatabaseUnavailable.
    def transaction(isolation: nil, read_only: false, requires_new: false, &block)
      raise ArgumentError, "a block is needed" unless block

      tenant = Current.tenant!
      open = Current.transaction
      return backend.run(tenant, Transaction.begin_sql(isolation: isolation, read_only: read_only), &block) unless open
      raise ArgumentError, "an open transaction cannot change its isolation" if isolation || read_only

      requires_new ? open.savepoint(&block) : yield(open)
    end

    # Lets go of clients and unused connections; settings stay. In tests, and after a fork when in doubt.
    def reset
      backend = @mutex.synchronize do
        old = @backend
        @client = @backend = nil
        old
      end
      backend&.close
    end

    # In a forked child: lets go of the parent's connections without a word to the server, and of what its other
    # threads were holding. Called by Ruby's own fork; for programs that fork past it.
    def after_fork
      Connection.disown_all
      @mutex = Mutex.new
      @client = @backend = nil
      ActiveRecord::Logins.after_fork if defined?(ActiveRecord::Logins)
    end
  end
end
