# frozen_string_literal: true

module Tenantry
  # One tenant's open transaction: what the block of Tenantry.transaction is given. Whoever holds it reads and writes
  # that tenant's rows and no others, whatever SQL is sent. It is of no use after its block.
  class Transaction
    LEVELS = {
      nil => "READ COMMITTED", read_committed: "READ COMMITTED", repeatable_read: "REPEATABLE READ",
      serializable: "SERIALIZABLE"
    }.freeze
    private_constant :LEVELS

    # Whose transaction it is.
    attr_reader :tenant
    # The PG::Connection, for what has no method here. It refuses to work outside of the transaction.
    attr_reader :connection

    # The statement that begins a transaction. Isolation and access are always said, because a tenant may have changed
    # the session's defaults.
    def self.begin_sql(isolation: nil, read_only: false)
      level = LEVELS.fetch(isolation) { raise ArgumentError, "isolation is one of #{LEVELS.keys.compact.join(', ')}" }
      "BEGIN ISOLATION LEVEL #{level} #{read_only ? 'READ ONLY' : 'READ WRITE'}"
    end

    def initialize(tenant)
      @tenant = tenant
      @savepoints = 0
    end

    # Sends SQL as it is; may hold several statements.
    def exec(sql)
      connection!.exec(sql)
    end

    # Sends one statement with bound values.
    def exec_params(sql, parameters = [])
      connection!.exec_params(sql, parameters)
    end

    # Rows as hashes.
    def rows(sql, parameters = [])
      exec_params(sql, parameters).to_a
    end

    # The first column of the first row; nil without a row.
    def value(sql, parameters = [])
      exec_params(sql, parameters).values.dig(0, 0)
    end

    # Runs the block behind a savepoint: whatever ends the block but its own end undoes what the block did, and no more.
    def savepoint
      name = "tenantry_#{@savepoints += 1}"
      exec("SAVEPOINT #{name}")
      done = false
      result = yield self
      exec("RELEASE SAVEPOINT #{name}")
      done = true
      result
    ensure
      # After an interrupt a statement may still be unanswered; then the whole transaction ends anyway.
      exec("ROLLBACK TO SAVEPOINT #{name}") if done == false && @connection && settled?
    end

    # Whether it has ended, or not begun. Callbacks after a commit run in this state.
    def over?
      @connection.nil? || !@connection.entered?
    end

    # For backends.
    def bind(connection)
      @connection = connection
    end

    private

    def settled?
      [PG::PQTRANS_INTRANS, PG::PQTRANS_INERROR].include?(@connection.transaction_status)
    end

    def connection!
      @connection or raise TenantScopeMissing, "the transaction is over"
    end
  end
end
