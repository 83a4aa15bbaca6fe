# frozen_string_literal: true

module Tenantry
  # For Rails controllers, and whatever has their `before_action`, `around_action` and `rescue_from`:
  #
  #   class ApplicationController < ActionController::Base
  #     include Tenantry::Controller
  #     before_action :enforce_tenant_scope
  #     around_action :within_tenant_transaction
  #   end
  module Controller
    def self.included(base)
      base.helper_method(:current_tenant) if base.respond_to?(:helper_method)
      base.rescue_from(Error) { |error| answer_tenant_problem(error) } if base.respond_to?(:rescue_from)
    end

    # The tenant of the request; nil without one.
    def current_tenant
      Current.tenant
    end

    private

    # Ends the request when it has no tenant: the middleware is missing, or the path is excluded from it.
    #
    # Raises TenantScopeMissing.
    def enforce_tenant_scope
      Current.tenant!
    end

    # Puts the whole action into one transaction of the tenant. An error undoes it.
    def within_tenant_transaction(&block)
      Tenantry.transaction { block.call }
    end

    # Answers with a problem document. TenantScopeMissing is a defect and goes on, so that tests and monitors see it.
    def answer_tenant_problem(error)
      raise error if error.is_a?(TenantScopeMissing)

      status, headers, body = Problem.answer(error)
      headers.each { |name, value| response.headers[name] = value }
      render(plain: body.join, status: status, content_type: "application/problem+json")
    end
  end
end
