# frozen_string_literal: true

module Tenantry
  # Transactions on connections of our own, without a framework.
  #
  # INVARIANT: a connection goes back to the shelf outside of a transaction and with nothing unanswered, or is closed;
  # its permit is given back in either case. Interrupts (Timeout, Thread#raise, Thread#kill) are let in while the
  # application's block runs and while something is waited for, never between taking a thing and noting it down.
  class PlainBackend
    attr_reader :limiter, :shelf

    def initialize(client, configuration)
      @configuration = configuration
      @entry = Entry.new(client)
      @limiter = Limiter.new(total: configuration.connections_max, per_login: configuration.connections_per_login,
                             waiting_max: configuration.waiting_max)
      @shelf = Shelf.new(most: configuration.connections_max, idle_timeout: configuration.idle_timeout)
    end

    # Runs the block inside of a transaction of the tenant, which is committed when the block comes to its end and
    # rolled back when anything else ends it.
    def run(tenant, begin_sql)
      transaction = Transaction.new(tenant)
      lease = Lease.new(self, @configuration)
      Thread.handle_interrupt(Object => :never) do
        waiting { @entry.call(tenant) { |route, credential| lease.take(transaction, route, credential, begin_sql) } }
        result = Current.within(transaction) { Thread.handle_interrupt(Object => :immediate) { yield transaction } }
        waiting { lease.commit }
        result
      ensure
        transaction.bind(nil)
        lease.give_back
      end
    end

    # Closes what is not in use.
    def close
      @shelf.clear
    end

    private

    def waiting(&block)
      Thread.handle_interrupt(Object => :on_blocking, &block)
    end

    # What one transaction holds.
    class Lease
      def initialize(backend, configuration)
        @limiter = backend.limiter
        @shelf = backend.shelf
        @configuration = configuration
      end

      # Takes permit and connection, and enters. May be called again after a SealError.
      def take(transaction, route, credential, begin_sql)
        permit(route)
        loop do
          pooled = connect(route, credential)
          @connection.enter(transaction, route, credential, begin_sql)
          return transaction.bind(@connection)
        rescue SealError => error
          used = !@connection.nil?
          drop
          # A connection that died on the shelf shows it only now, and one whose last tenant set a limit of a
          # millisecond may fail while it is cleaned.
          next if pooled && used && error.kind == :lost

          @shelf.forget(@permit.login) if error.kind == :refused
          raise
        end
      end

      # Raises PG::Error when the commit failed or nobody knows.
      def commit
        # A statement of the application has ended it before.
        return @connection.left if @connection.transaction_status == PG::PQTRANS_IDLE
        return if @connection.leave("COMMIT") == "COMMIT"

        raise PG::InFailedSqlTransaction, "the transaction was rolled back: one of its statements had failed"
      end

      def give_back
        undo if @connection&.entered?
        drop
      ensure
        @limiter.release(@permit) if @permit
        @permit = nil
      end

      private

      def permit(route)
        return if @permit && @permit.login == route.login

        @limiter.release(@permit) if @permit
        @permit = nil
        @permit = never do
          @limiter.acquire(route.login, route.uuid, most: @configuration.share(route),
                                                    timeout: @configuration.checkout_timeout)
        end
      end

      # Whether it was opened before.
      def connect(route, credential)
        never { @connection = @shelf.take(route.login, route.uuid) }
        return true if @connection

        @shelf.make_room(@limiter.used)
        never { @connection = open(route, credential) }
        false
      end

      def open(route, credential)
        Thread.handle_interrupt(Object => :on_blocking) do
          Connection.open_for(route, credential, timeout: @configuration.connect_timeout,
                                                 application_name: @configuration.application_name,
                                                 **@configuration.connect_options)
        end
      end

      def undo
        return unless [PG::PQTRANS_INTRANS, PG::PQTRANS_INERROR].include?(@connection.transaction_status)

        Thread.handle_interrupt(Object => :on_blocking) { @connection.leave("ROLLBACK") }
      rescue PG::Error
        @connection.finish unless @connection.finished?
      end

      # Back to the shelf when it is sound, closed otherwise.
      def drop
        connection = @connection
        @connection = nil
        return unless connection

        connection.left if !connection.finished? && connection.transaction_status == PG::PQTRANS_IDLE
        if connection.reusable?
          @shelf.put(@permit.login, connection, in_use: [@limiter.used - 1, 0].max)
        else
          connection.abandon
        end
      end

      def never(&block)
        Thread.handle_interrupt(Object => :never, &block)
      end
    end
    private_constant :Lease
  end
end
