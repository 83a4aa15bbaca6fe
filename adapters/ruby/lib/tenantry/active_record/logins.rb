# frozen_string_literal: true

require "openssl"

module Tenantry
  module ActiveRecord
    # Active Record's pools, one per login, bounded in number. The configuration that Active Record keeps and announces
    # holds the login's name only; password and key are looked up here when a connection is opened.
    module Logins
      # More pools than this, and the longest unused one is closed.
      MOST = 100
      # What Active Record would set after connecting. Given at the start, so that RESET ALL returns to it.
      SETTINGS = Connection::SETTINGS.merge("client_min_messages" => "warning", "IntervalStyle" => "iso_8601").freeze

      # `users` counts the transactions that hold the pool, so that nobody closes it under them.
      Login = Struct.new(:name, :shard, :pool, :route, :credential, :users)
      private_constant :Login

      @mutex = Mutex.new
      @logins = {}
      @options = {}

      class << self
        attr_accessor :options

        # Takes the pool for a route, and remembers the credential for connections that it opens. Give it back by
        # `leave`.
        def enter(route, credential)
          login, gone = @mutex.synchronize do
            login = @logins.delete(route.login) || Login.new(route.login, shard(route.login), nil, nil, nil, 0)
            @logins[login.name] = login
            login.route = route
            login.credential = credential
            login.users += 1
            login.pool ||= establish(login)
            [login, surplus]
          end
          gone.each { |old| remove(old) }
          login
        end

        def leave(login)
          @mutex.synchronize { login.users -= 1 }
        end

        # Opens a connection of a pool.
        #
        # Raises TenantScopeMissing for the pool that models have outside of a tenant's transaction.
        def connect(name)
          login = @mutex.synchronize { @logins[name] }
          unless login
            raise TenantScopeMissing, "there is no connection outside of a tenant's transaction; wrap the code in " \
                                      "Tenantry.transaction"
          end
          settings = Tenantry.configuration
          Connection.open_for(login.route, login.credential, settings: startup, timeout: settings.connect_timeout,
                                                             application_name: settings.application_name,
                                                             **settings.connect_options)
        end

        # In a forked child, where Active Record has thrown the parent's pools away.
        def after_fork
          @mutex = Mutex.new
          @logins = {}
        end

        # Closes all pools.
        def clear
          gone = @mutex.synchronize do
            all = @logins.values
            @logins = {}
            all
          end
          gone.each { |login| remove(login) }
        end

        # How many pools there are.
        def size
          @mutex.synchronize { @logins.size }
        end

        private

        def shard(name)
          :"tenantry_#{OpenSSL::Digest::SHA256.hexdigest(name)[0, 24]}"
        end

        def establish(login)
          base = ActiveRecord.base
          owner = ::ActiveRecord::VERSION::MAJOR < 7 ? base.name : base
          settings = Tenantry.configuration
          config = { adapter: "tenantry", tenantry_login: login.name, database: login.route.database,
                     pool: settings.connections_per_login, checkout_timeout: settings.checkout_timeout,
                     idle_timeout: settings.idle_timeout, connection_retries: 0 }
          config = config.merge(options.except(:variables))
          place = { owner_name: owner, role: ActiveRecord.role, shard: login.shard }
          base.connection_handler.establish_connection(config, **place)
        end

        def surplus
          idle = @logins.values.select { |login| login.users.zero? }.first([@logins.size - MOST, 0].max)
          idle.each { |login| @logins.delete(login.name) }
        end

        def remove(login)
          base = ActiveRecord.base
          base.connection_handler.remove_connection_pool(base.connection_specification_name, role: ActiveRecord.role,
                                                                                             shard: login.shard)
        end

        def startup
          variables = (options[:variables] || {}).to_h { |name, value| [name.to_s, value.to_s] }
          SETTINGS.merge(variables)
        end
      end
    end
  end
end
