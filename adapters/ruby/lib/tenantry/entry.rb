# frozen_string_literal: true

# What happens when a tenant's transaction cannot be entered: what is forgotten, what is asked again, and when to
# stop. Nothing of the application has run, so every repetition is safe; each cause is repeated once.
module Tenantry
  class Entry
    def initialize(client)
      @client = client
    end

    # Calls the block with route and credential until it gives something. The block raises SealError.
    def call(tenant)
      tried = []
      begin
        route = @client.route(tenant)
        credential = @client.credential(route.secret_ref)
        yield route, credential
      rescue SealError => error
        @client.doubt_credential(route.secret_ref, credential) if error.kind == :refused && !tried.include?(:refused)
        settle(error, tenant, route, tried)
        retry
      end
    end

    private

    # Prepares another attempt, or raises what the application is told.
    def settle(error, tenant, route, tried)
      again = !tried.include?(error.kind)
      tried << error.kind
      case error.kind
      when :moved, :absent then moved(tenant, again)
      when :shut then shut(tenant, again)
      when :refused then refused(error, tenant, route, again)
      when :full then raise PoolExhausted, "the database has no connection left"
      when :lost then raise DatabaseUnavailable, "the database cannot be reached: #{error.message}"
      else raise DatabaseUnavailable, "the tenant's transaction could not be begun: #{error.message}"
      end
    end

    def moved(tenant, again)
      raise TenantNotFound unless again

      @client.forget(tenant)
    end

    def shut(tenant, again)
      raise TenantSuspended unless again

      look(tenant).admit!
    end

    # A tenant's own login is switched off while the tenant is not open; that looks like a wrong password.
    def refused(error, tenant, route, again)
      return if again

      look(tenant).admit!
      raise CredentialRefused, "the database refuses the credential of `#{route.secret_ref}`: #{error.message}"
    end

    # One look past the memory. Without an answer the database's word stands.
    def look(tenant)
      @client.resolve_anew(tenant)
    rescue ControlPlaneUnavailable
      raise TenantSuspended, "the tenant is not open"
    end
  end
end
