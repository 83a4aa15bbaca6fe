# frozen_string_literal: true

module RuboCop
  module Cop
    module Tenantry
      # Explicit scopes instead of default ones. A default scope changes counts, pages, joins and new records in places
      # that do not mention it, and `unscoped` takes it away without a trace.
      #
      # @example
      #   # bad
      #   default_scope { where(tenant_id: Current.tenant.id) }
      #
      #   # good
      #   include Tenantry::TenantScoped
      #   Message.for_current_tenant
      class DefaultScope < Base
        MSG = "Prefer an explicit scope such as `for_current_tenant`; the database keeps other tenants' rows away."
        RESTRICT_ON_SEND = %i[default_scope].freeze

        def on_send(node)
          add_offense(node) if node.receiver.nil? || node.receiver.self_type?
        end

        def on_defs(node)
          add_offense(node) if node.method?(:default_scope)
        end
      end
    end
  end
end
