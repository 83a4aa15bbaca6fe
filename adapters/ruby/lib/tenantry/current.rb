# frozen_string_literal: true

# Whose request or job this is. The place is local to a fiber: a thread, a fiber or an enumerator that is started
# inside of a scope has none, so nothing runs for a tenant by inheritance.
#
# INVARIANT: a scope ends with its block, whatever ends the block.
module Tenantry
  module Current
    TENANT = :tenantry_tenant
    TRANSACTION = :tenantry_transaction
    private_constant :TENANT, :TRANSACTION

    module_function

    # The tenant of this fiber, or nil.
    def tenant
      Thread.current[TENANT]
    end

    # The open transaction of this fiber, or nil.
    def transaction
      open = Thread.current[TRANSACTION]
      open unless open.nil? || open.over?
    end

    # The transaction whose block or callbacks this fiber is in, also when it is over. For backends.
    def enclosing
      Thread.current[TRANSACTION]
    end

    # The tenant of this fiber.
    #
    # Raises TenantScopeMissing without one.
    def tenant!
      tenant or raise TenantScopeMissing,
                      "no tenant is set; identify it with the middleware, or wrap the code in Tenantry.with_tenant"
    end

    # Runs the block for a tenant. Inside of an open transaction the tenant cannot change.
    def with(tenant)
      raise ArgumentError, "a tenant is needed, not #{tenant.class}" unless tenant.is_a?(Tenant)

      open = transaction
      if open && !open.tenant.same?(tenant)
        raise TenantMismatch, "a transaction of tenant `#{open.tenant.slug}` is open; end it before " \
                              "working for `#{tenant.slug}`"
      end
      scoped(TENANT, tenant) { yield tenant }
    end

    # Runs the block without any tenant: for code that serves nobody in particular.
    def without(&block)
      raise TenantMismatch, "a tenant's transaction is open" if transaction

      scoped(TENANT, nil, &block)
    end

    # Runs the block as part of a transaction. For backends.
    def within(transaction, &block)
      scoped(TRANSACTION, transaction, &block)
    end

    def scoped(place, value)
      before = Thread.current[place]
      begin
        Thread.current[place] = value
        yield
      ensure
        Thread.current[place] = before
      end
    end
    private_class_method :scoped
  end
end
