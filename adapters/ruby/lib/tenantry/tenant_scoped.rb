# frozen_string_literal: true

require "active_support/concern"

module Tenantry
  # For models of tenants' tables:
  #
  #   class Message < ApplicationRecord
  #     include Tenantry::TenantScoped
  #   end
  #
  # Where the table has the tenant's column, a record has the current tenant in it: filled in when it is missing,
  # refused when it is another tenant's. There is no default scope: the database keeps other tenants' rows away, and
  # whoever wants the condition in the SQL, say for the planner, writes `for_current_tenant`.
  module TenantScoped
    extend ActiveSupport::Concern

    included do
      # The tenant's column; tables at the schema and database levels may lack it.
      class_attribute :tenant_column, default: "tenant_id", instance_writer: false

      before_validation :fill_tenant, on: :create
      before_create :fill_tenant
      validate :tenant_is_current
      before_save :refuse_another_tenant

      scope :for_current_tenant, -> { tenant_column? ? where(tenant_column => Current.tenant!.uuid) : all }
    end

    class_methods do
      # Whether the table has the tenant's column. Needs a tenant's transaction the first time.
      def tenant_column?
        columns_hash.key?(tenant_column)
      end
    end

    private

    def fill_tenant
      return unless self.class.tenant_column?

      self[tenant_column] = Current.tenant!.uuid if self[tenant_column].nil?
    end

    def tenant_is_current
      return unless self.class.tenant_column?

      if self[tenant_column].blank?
        errors.add(tenant_column, :blank)
      elsif self[tenant_column] != Current.tenant!.uuid
        errors.add(tenant_column, :invalid)
      end
    end

    # Also where validations are skipped.
    def refuse_another_tenant
      return unless self.class.tenant_column? && self[tenant_column] && self[tenant_column] != Current.tenant!.uuid

      raise TenantMismatch, "a #{self.class.name} of another tenant cannot be saved"
    end
  end
end
