# frozen_string_literal: true

require "active_record/connection_adapters/postgresql_adapter"

module Tenantry
  module ActiveRecord
    # Active Record's PostgreSQL adapter on a Tenantry::Connection.
    #
    # INVARIANT: transactions are begun by Backend only, entered; begin, restart and reconnect by Active Record itself
    # are refused or switched off, because they would continue without the tenant.
    class Adapter < ::ActiveRecord::ConnectionAdapters::PostgreSQLAdapter
      # Active Record 7.1 and newer gives settings to an adapter, and connects later; older ones give a connection.
      LATE = ::ActiveRecord.gem_version >= Gem::Version.new("7.1.0.a")
      private_constant :LATE

      class << self
        # Opens the connection. What it raises goes through to Backend as it is.
        def new_client(parameters)
          Logins.connect(parameters[:tenantry_login])
        end

        # Whether adapters are made before their connections.
        def late?
          LATE
        end
      end

      def initialize(*arguments)
        super
        @tenantry_ready = !LATE
        @connection_parameters = { tenantry_login: @config[:tenantry_login] }
        tenantry_watch
      end

      # The Tenantry::Connection; nil while there is none.
      def tenantry_connection
        @raw_connection || @connection
      end

      # Opens the connection where this Active Record does so late, or where the last attempt was cut off in the midst.
      def tenantry_connect
        return if @tenantry_ready

        tenantry_connection&.abandon
        LATE ? connect! : reconnect!
        @tenantry_ready = true
      end

      # Whether the next borrower may have it.
      def tenantry_sound?
        @tenantry_ready && tenantry_connection&.reusable?
      end

      # Enters the tenant's transaction, before Active Record knows of it. Nothing of a tenant before is left.
      #
      # Raises SealError.
      def tenantry_enter(scope, route, credential, begin_sql)
        raise TenantMismatch, "another fiber of this thread uses the connection" if tenantry_connection.entered?

        clear_query_cache
        tenantry_connection.enter(scope, route, credential, begin_sql)
        @tenantry_entered = true
      end

      # Says goodbye to what was read. The query cache of Active Record outlives transactions, and knows no tenants.
      def tenantry_leave
        @tenantry_entered = false
        clear_query_cache
      end

      def begin_db_transaction
        unless @tenantry_entered
          raise TenantScopeMissing, "a tenant's transaction is begun by Tenantry.transaction, not by the connection"
        end

        @tenantry_entered = false
      end

      def begin_isolated_db_transaction(_isolation)
        raise ArgumentError, "give the isolation to Tenantry.transaction"
      end

      def commit_db_transaction
        raw = tenantry_connection
        if raw.transaction_status == PG::PQTRANS_INERROR
          raise ::ActiveRecord::StatementInvalid, "the transaction is rolled back: one of its statements had failed"
        end

        raw.own { super }
        raw.left
      end

      # After an interrupt there may be nothing left to speak to.
      def exec_rollback_db_transaction
        raw = tenantry_connection
        return if raw.nil? || raw.finished?

        raw.own { super } if [PG::PQTRANS_INTRANS, PG::PQTRANS_INERROR].include?(raw.transaction_status)
        raw.left
      end

      # `ROLLBACK AND CHAIN` would go on without the tenant.
      def supports_restart_db_transaction?
        false
      end

      # Without a round trip: whether the server is still there shows when the transaction is entered.
      def active?
        raw = tenantry_connection
        !raw.nil? && !raw.finished? && raw.status == PG::CONNECTION_OK
      end

      # Prepared statements are forgotten; outside of a transaction the server is told at the next entrance.
      def clear_cache!(**)
        raw = tenantry_connection
        return super if raw && !raw.finished? && raw.entered? && Current.transaction

        raw&.soil
        @statements = build_statement_pool if @statements
      end

      def reset!
        @lock.synchronize do
          clear_cache!
          reset_transaction
          tenantry_connection&.soil
        end
      end

      private

      def connect
        @tenantry_ready = false
        if LATE
          super
        else
          @connection = self.class.new_client(@connection_parameters)
          @connection.own { set_up }
        end
        tenantry_watch
      end

      # What older Active Record does after connecting, and what it forgets: statements belong to a connection.
      def set_up
        configure_connection
        add_pg_encoders
        add_pg_decoders
        @statements = build_statement_pool
      end

      def configure_connection
        tenantry_connection.own { super }
      end

      # What is known of the session is forgotten when the session is cleaned.
      def tenantry_watch
        tenantry_connection&.on_clean do
          @statements = build_statement_pool if @statements
          @schema_search_path = nil
        end
      end
    end
  end
end

module ActiveRecord
  # How Active Record before 7.2 makes connections of this adapter.
  module ConnectionHandling
    def tenantry_adapter_class
      Tenantry::ActiveRecord::Adapter
    end

    def tenantry_connection(config)
      adapter = tenantry_adapter_class
      return adapter.new(config) if adapter.late?

      parameters = { tenantry_login: config[:tenantry_login] }
      client = adapter.new_client(parameters)
      client.own { adapter.new(client, logger, parameters, config) }
    end
  end
end

if ActiveRecord::ConnectionAdapters.respond_to?(:register)
  ActiveRecord::ConnectionAdapters.register("tenantry", "Tenantry::ActiveRecord::Adapter",
                                            "tenantry/active_record/adapter")
end
