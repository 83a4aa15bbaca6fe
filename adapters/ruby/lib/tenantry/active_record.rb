# frozen_string_literal: true

require "active_record"
require_relative "../tenantry"
require_relative "active_record/logins"
require_relative "active_record/adapter"
require_relative "active_record/backend"
require_relative "tenant_scoped"

module Tenantry
  # Active Record on tenants' data, 6.1 to 8.
  #
  #   require "tenantry/active_record"
  #   Tenantry::ActiveRecord.install
  #
  # Models find a connection inside of Tenantry.transaction and nowhere else: there Active Record is switched to a pool
  # for the login of the tenant's route (a shard, in its words).
  module ActiveRecord
    class << self
      # The class whose connection belongs to the tenants.
      def base
        @base || ::ActiveRecord::Base
      end

      # Makes Tenantry.transaction use Active Record's connections.
      #
      # base: an abstract class, when other models of the application live in a database of another kind. Needs Active
      # Record 7, or 6.1 without legacy_connection_handling.
      # options: of the adapter, as in database.yml: `prepared_statements`, `variables`, `statement_limit`.
      def install(base: ::ActiveRecord::Base, **options)
        @base = base
        Logins.options = options
        name_handler unless @named
        @named = true
        base.establish_connection(adapter: "tenantry") unless closed?
        Tenantry.backend_class = Backend
        self
      end

      # The role that all of it happens in.
      def role
        ::ActiveRecord.respond_to?(:writing_role) ? ::ActiveRecord.writing_role : ::ActiveRecord::Base.writing_role
      end

      private

      # What Rails does at start and Active Record 6.1 and 7.0 alone do not: the role stands for the one handler.
      def name_handler
        switch = [::ActiveRecord, ::ActiveRecord::Base].find { |place| place.respond_to?(:legacy_connection_handling) }
        return unless switch&.legacy_connection_handling

        legacy = ::ActiveRecord::Base
        legacy.connection_handlers = { role => legacy.default_connection_handler }.merge(legacy.connection_handlers)
      end

      # Whether database.yml names the adapter already.
      def closed?
        base.connection_db_config.configuration_hash[:adapter].to_s == "tenantry"
      rescue ::ActiveRecord::ConnectionNotEstablished
        false
      end
    end
  end
end
