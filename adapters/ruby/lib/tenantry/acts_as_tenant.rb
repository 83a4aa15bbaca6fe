# frozen_string_literal: true

require_relative "../tenantry"

module Tenantry
  # For applications that use the gem acts_as_tenant: its current tenant follows ours.
  #
  #   require "tenantry/acts_as_tenant"
  #   Tenantry::ActsAsTenant.install
  #
  # Its conditions on `tenant_id` are then an addition; what keeps tenants apart is the database.
  module ActsAsTenant
    # What ActsAsTenant is given when the application has no model of its own for tenants: its `id` is the tenant's
    # UUID, as in the tenant's column.
    Stand = Struct.new(:id, :slug)

    class << self
      # map: from a Tenant to what ActsAsTenant shall have as its current tenant.
      def install(map: ->(tenant) { Stand.new(tenant.uuid, tenant.slug) })
        @map = map
        Current.singleton_class.prepend(Follow) unless Current.singleton_class.include?(Follow)
      end

      # Lets the gem's tenant alone again.
      def uninstall
        @map = nil
      end

      # Whether the gem is told.
      def installed?
        !@map.nil?
      end

      # What the gem is to be told for a tenant of ours.
      def told(tenant)
        @map.call(tenant)
      end
    end

    # Around every scope of ours there is one of theirs.
    module Follow
      def with(tenant)
        return super unless ActsAsTenant.installed?

        super { |known| ::ActsAsTenant.with_tenant(ActsAsTenant.told(known)) { yield known } }
      end
    end
  end
end
