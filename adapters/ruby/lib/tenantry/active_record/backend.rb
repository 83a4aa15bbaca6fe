# frozen_string_literal: true

module Tenantry
  module ActiveRecord
    # Transactions on Active Record's connections. Permits are ours, so that one tenant cannot take a whole pool.
    #
    # INVARIANT: as PlainBackend's. Besides, nothing that Active Record remembers of one transaction (query cache,
    # prepared statements, transaction state) reaches the next.
    class Backend
      attr_reader :limiter

      def initialize(client, configuration)
        @configuration = configuration
        @entry = Entry.new(client)
        @limiter = Limiter.new(total: configuration.connections_max, per_login: configuration.connections_per_login,
                               waiting_max: configuration.waiting_max)
      end

      # See PlainBackend#run. ActiveRecord::Rollback undoes the transaction and goes no further.
      def run(tenant, begin_sql, &block)
        lease = Lease.new(@limiter, @configuration, RecordTransaction.new(tenant))
        Thread.handle_interrupt(Object => :never) do
          Thread.handle_interrupt(Object => :on_blocking) do
            @entry.call(tenant) { |route, credential| lease.take(route, credential, begin_sql) }
          end
          lease.work(&block)
        ensure
          lease.give_back
        end
      end

      # Closes all pools.
      def close
        Logins.clear
      end

      # A transaction whose savepoints Active Record knows of.
      class RecordTransaction < Transaction
        attr_accessor :adapter

        def savepoint
          adapter.transaction(requires_new: true) { yield self }
        end
      end

      # What one transaction holds.
      class Lease
        def initialize(limiter, configuration, transaction)
          @limiter = limiter
          @configuration = configuration
          @transaction = transaction
        end

        # Takes permit and connection, and enters. May be called again after a SealError.
        def take(route, credential, begin_sql)
          login(route, credential)
          permit(route)
          loop do
            pooled = connect
            @adapter.tenantry_enter(@transaction, route, credential, begin_sql)
            @transaction.adapter = @adapter
            return @transaction.bind(@adapter.tenantry_connection)
          rescue SealError => error
            drop
            next if pooled && error.kind == :lost

            raise
          end
        end

        # Runs the block as Active Record's transaction.
        def work
          ActiveRecord.base.connected_to(role: ActiveRecord.role, shard: @login.shard) do
            Current.within(@transaction) do
              recorded { Thread.handle_interrupt(Object => :immediate) { loaded(yield(@transaction)) } }
            end
          end
        end

        def give_back
          drop
          @transaction.bind(nil)
        ensure
          @limiter.release(@permit) if @permit
          Logins.leave(@login) if @login
          @permit = @login = nil
        end

        private

        # A relation that the block ends with could not be read any more outside.
        def loaded(result)
          result.is_a?(::ActiveRecord::Relation) ? result.load : result
        end

        # `transaction` of Active Record would commit what a timeout, `throw` or `break` has left half done.
        def recorded
          @adapter.begin_transaction(joinable: true, _lazy: false)
          # Statements on the connection itself must be behind the savepoints that they seem to be behind.
          @adapter.disable_lazy_transactions!
          # A transaction that counts as untouched would be restarted or repeated instead of undone.
          @adapter.dirty_current_transaction if @adapter.respond_to?(:dirty_current_transaction)
          done = false
          result = yield
          Thread.handle_interrupt(Object => :on_blocking) { @adapter.commit_transaction }
          done = true
          result
        rescue ::ActiveRecord::Rollback
          nil
        ensure
          undo if done == false
        end

        def undo
          raw = @adapter.tenantry_connection
          # The answer to a statement is still out: only closing ends it.
          raw.abandon unless raw.finished? || settled?(raw)
          Thread.handle_interrupt(Object => :on_blocking) do
            @adapter.rollback_transaction while @adapter.transaction_open?
          end
        rescue PG::Error, ::ActiveRecord::ActiveRecordError
          raw.abandon
        end

        def settled?(raw)
          [PG::PQTRANS_IDLE, PG::PQTRANS_INTRANS, PG::PQTRANS_INERROR].include?(raw.transaction_status)
        end

        def login(route, credential)
          taken = never { Logins.enter(route, credential) }
          Logins.leave(@login) if @login
          @login = taken
        end

        def permit(route)
          @borrowed = borrowed?
          return if @borrowed || @permit&.login == route.login

          @limiter.release(@permit) if @permit
          @permit = nil
          @permit = never do
            @limiter.acquire(route.login, route.uuid, most: @configuration.share(route),
                                                      timeout: @configuration.checkout_timeout)
          end
        end

        # Inside of an after_commit callback the thread has the connection still, and its permit. Any other connection
        # that it has was left by a request that was cut off.
        def borrowed?
          active = @login.pool.active_connection? or return false
          outer = Current.enclosing
          return true if outer.is_a?(RecordTransaction) && outer.adapter.equal?(active)

          discard(active)
          false
        end

        # Whether it was opened before.
        def connect
          pool = @login.pool
          known = pool.connections.size
          @adapter = never { waiting { pool.respond_to?(:lease_connection) ? pool.lease_connection : pool.connection } }
          pooled = @adapter.active? && pool.connections.size == known
          waiting { @adapter.tenantry_connect }
          pooled
        rescue ::ActiveRecord::ConnectionTimeoutError
          raise PoolExhausted
        ensure
          reclaim unless @adapter
        end

        # What was taken out of the pool for us, and did not arrive, because an interrupt came between.
        def reclaim
          known = Current.enclosing
          known = known.is_a?(RecordTransaction) ? known.adapter : nil
          strays = @login.pool.connections.select { |adapter| adapter.owner.equal?(owner) && !adapter.equal?(known) }
          strays.each { |adapter| discard(adapter) }
        end

        # Whom Active Record lends connections to: a thread, or in newer ones a fiber where that is set.
        def owner
          return Thread.current unless defined?(::ActiveSupport::IsolatedExecutionState)

          ::ActiveSupport::IsolatedExecutionState.context
        end

        # Back to the pool when it is sound, closed otherwise. The locks of Active Record let interrupts in, whatever
        # is said around them, so each step may be the last.
        def drop
          adapter = @adapter
          @adapter = nil
          return unless adapter

          kept = false
          begin
            adapter.tenantry_leave
            if adapter.tenantry_sound?
              @login.pool.release_connection unless @borrowed
              kept = true
            end
          ensure
            discard(adapter) unless kept
          end
        end

        def discard(adapter, tries = 4)
          done = false
          adapter.tenantry_connection&.abandon
          @login.pool.remove(adapter)
          adapter.disconnect!
          done = true
        ensure
          discard(adapter, tries - 1) unless done || tries.zero?
        end

        def never(&block)
          Thread.handle_interrupt(Object => :never, &block)
        end

        def waiting(&block)
          Thread.handle_interrupt(Object => :on_blocking, &block)
        end
      end
      private_constant :Lease
    end
  end
end
