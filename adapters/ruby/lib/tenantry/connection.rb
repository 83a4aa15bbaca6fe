# frozen_string_literal: true

require "pg"

# One connection to a cell, and the door into a tenant's transaction.
#
# INVARIANT: nothing is sent on it except by the adapter itself, or by the fiber that holds the entered transaction
# while that transaction lasts. The statements that let a tenant in are unnamed, and their values are bound.
module Tenantry
  class Connection < PG::Connection
    # `ALTER ROLE … SET` is open to every login for itself, so on a shared login one tenant could change what another
    # tenant's SQL means. What a connection is started with wins over it, and RESET ALL returns to it.
    SETTINGS = {
      "search_path" => "pg_catalog,pg_temp", "role" => "none", "row_security" => "on",
      "standard_conforming_strings" => "on", "backslash_quote" => "safe_encoding", "transform_null_equals" => "off",
      "array_nulls" => "on", "quote_all_identifiers" => "off", "xmloption" => "content",
      "default_transaction_read_only" => "off", "default_transaction_isolation" => "read committed",
      "client_min_messages" => "notice", "DateStyle" => "ISO", "IntervalStyle" => "postgres", "TimeZone" => "UTC",
      "bytea_output" => "hex", "extra_float_digits" => "1", "escape_string_warning" => "on", "jit" => "off",
      "statement_timeout" => "0", "lock_timeout" => "0", "idle_in_transaction_session_timeout" => "0",
      "idle_session_timeout" => "0", "default_transaction_deferrable" => "off"
    }.freeze
    # What DISCARD ALL does, except that it keeps the plans of functions. Settings come first: each of these statements
    # runs under the time limit that the tenant before has left. The last word leaves the backend unarmed.
    CLEAN = "RESET ALL; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; DEALLOCATE ALL; UNLISTEN *; " \
            "SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES"
    # Everything of PG::Connection that sends something, where this version of it has it.
    SENDERS = %i[
      exec query exec_params prepare exec_prepared describe_portal describe_prepared copy_data transaction
      send_query send_query_params send_prepare send_query_prepared send_describe_portal send_describe_prepared
      send_close_portal send_close_prepared close_portal close_prepared
      put_copy_data put_copy_end enter_pipeline_mode pipeline_sync send_pipeline_sync send_flush_request
      lo_creat lo_create lo_import lo_export lo_open lo_write lo_read lo_lseek lo_tell lo_truncate lo_close lo_unlink
      locreat locreate loimport loexport loopen lowrite loread lolseek lotell lotruncate loclose lounlink
      set_client_encoding client_encoding=
    ].flat_map { |name| [name, :"async_#{name}", :"sync_#{name}"] }
              .select { |name| PG::Connection.method_defined?(name) }.freeze
    # Types of bound values (pg_type.dat): none is looked up by a name, which a search path could change.
    INT4 = 23
    INT8 = 20
    BYTEA = 17
    UUID = 2950
    private_constant :INT4, :INT8, :BYTEA, :UUID

    # uuid of the tenant that was served last; nil on a connection that is new or of unknown state.
    attr_reader :served
    # When it was last put aside, on the monotonic clock.
    attr_accessor :idle_since

    class << self
      # Opens a connection for a route. An interrupt in the middle leaves nothing behind.
      #
      # Raises SealError.
      def open_for(route, credential, settings: SETTINGS, timeout: 5, **options)
        opening = Thread.current[:tenantry_opening] = []
        connection = new(host: route.host, port: route.port, dbname: route.database, user: route.role,
                         password: credential.password, connect_timeout: timeout, gssencmode: "disable",
                         client_encoding: "UTF8", options: startup(settings), **options)
        connection.set_error_verbosity(PG::PQERRORS_DEFAULT)
        opening.clear
        connection
      rescue PG::Error => error
        raise SealError.of(error)
      ensure
        opening&.each { |half| half.finish unless half.finished? }
        Thread.current[:tenantry_opening] = nil
      end

      # In a forked child: lets go of every session of the parent.
      def disown_all
        ObjectSpace.each_object(self) { |connection| connection.disown unless connection.finished? }
      end

      # libpq gives the SQLSTATE of a refused login only inside of a verbose message.
      def connect_start(*arguments)
        super.tap do |connection|
          Thread.current[:tenantry_opening]&.push(connection)
          connection.set_error_verbosity(PG::PQERRORS_VERBOSE)
        end
      end

      private

      def startup(settings)
        settings.map { |name, value| "-c #{name}=#{value.gsub(/[\\ ]/) { |sign| "\\#{sign}" }}" }.join(" ")
      end
    end

    SENDERS.each do |name|
      define_method(name) do |*arguments, &block|
        guard! unless @own
        super(*arguments, &block)
      end
      ruby2_keywords(name)
    end

    # A connection that was lost is replaced and never reset in place: the new backend would be unarmed, and unknown.
    def reset(*)
      raise PG::ConnectionBad, "a tenant's connection is replaced, not reset"
    end
    alias reset_start reset
    alias async_reset reset
    alias sync_reset reset

    # Lets the adapter itself send something.
    def own
      before = @own
      @own = true
      yield
    ensure
      @own = before
    end

    # Begins a transaction of the route's tenant, which `scope` stands for. Afterwards the fiber whose
    # Current.transaction is `scope` may use the connection.
    #
    # Raises SealError; nothing of the application has run then.
    def enter(scope, route, credential, begin_sql)
      own do
        capability = arm_for(route, credential)
        token = Seal.token(capability, route.uuid, route.generation)
        begin_and_enter(begin_sql, [bound(Seal.uuid_bytes(route.uuid), UUID),
                                    bound([route.generation].pack("q>"), INT8), bound(token, BYTEA)])
      end
      @scope = scope
    rescue PG::Error => error
      failed = SealError.of(error)
      step_back if failed.gate?
      raise failed
    end

    # Calls the block whenever the session was cleaned, for those who remember what is in it.
    def on_clean(&block)
      @on_clean = block
    end

    # Whatever the session holds, the next entrance cleans it.
    def soil
      @served = nil
    end

    # Whether a transaction was entered and not left.
    def entered?
      !@scope.nil?
    end

    # Ends the transaction with COMMIT or ROLLBACK. Gives the server's word for what it did.
    def leave(statement)
      @scope = nil
      own { exec(statement).cmd_status }
    end

    # The transaction was ended through other means.
    def left
      @scope = nil
    end

    # Whether the next borrower may have it: outside of a transaction, with nothing unanswered.
    def reusable?
      !finished? && status == PG::CONNECTION_OK && transaction_status == PG::PQTRANS_IDLE && !entered? &&
        (!respond_to?(:pipeline_status) || pipeline_status == PG::PQ_PIPELINE_OFF)
    end

    # Ends the session, and what the server still does for it.
    def abandon
      return if finished?

      # Closing alone does not stop a statement, and its locks would stay until it ends.
      stop_statement if transaction_status == PG::PQTRANS_ACTIVE
    rescue PG::Error, SystemCallError, IOError
      nil
    ensure
      finish unless finished?
    end

    # In a forked child: lets go of the parent's session without a word to the server.
    def disown
      socket_io.reopen(IO::NULL)
    rescue PG::Error, SystemCallError, IOError
      nil
    end

    # The application's statements would fail with confusing errors, or, worse, succeed outside of the tenant.
    def guard!
      unless @scope.equal?(Current.transaction)
        raise Guard.note(TenantScopeMissing.new("no tenant's transaction is entered here; wrap the code in " \
                                                "Tenantry.transaction"))
      end
      return unless transaction_status == PG::PQTRANS_IDLE

      raise Guard.note(TenantScopeMissing.new("a statement of the application has ended the tenant's transaction"))
    end

    private

    # Leaves the session clean and armed for the route's tenant; gives the backend's capability.
    def arm_for(route, credential)
      return Seal.capability(@key, @backend) if @served == route.uuid && @key == credential.key

      # First of all: an interrupt in the midst must not leave the old name on it.
      @served = nil
      # A connection that was never armed has served nobody.
      clean if @key
      @backend ||= hello
      exec_params("SELECT seal.arm($1, $2)", [bound([credential.kid].pack("l>"), INT4),
                                              bound(Seal.proof(credential.key, @backend), BYTEA)])
      @key = credential.key
      @served = route.uuid
      Seal.capability(@key, @backend)
    end

    def clean
      exec(CLEAN)
      @on_clean&.call
    end

    def hello
      pid, started = exec_params("SELECT pid, started FROM seal.hello()", []).values.first
      Seal::Backend.new(Integer(pid), Integer(started))
    end

    # One round trip where libpq can send both at once.
    def begin_and_enter(begin_sql, parameters)
      return begin_then_enter(begin_sql, parameters) unless respond_to?(:enter_pipeline_mode)

      enter_pipeline_mode
      send_query_params(begin_sql, [])
      send_query_params("SELECT seal.enter($1, $2, $3)", parameters)
      pipeline_sync
      begun = answer
      entered = answer
      # What is left is the answer to the sync.
      get_result
      exit_pipeline_mode
      begun.check
      entered.check
    end

    # One statement's result in a pipeline, which ends with nothing.
    def answer
      get_result.tap { get_result }
    end

    def begin_then_enter(begin_sql, parameters)
      exec(begin_sql)
      exec_params("SELECT seal.enter($1, $2, $3)", parameters)
    end

    # The gate is shut, but the connection is sound.
    def step_back
      own { exec("ROLLBACK") }
    rescue PG::Error
      finish unless finished?
    end

    def bound(value, type)
      { value: value, type: type, format: 1 }
    end

    # PQcancel speaks to the server on a connection of its own, which may hang.
    def stop_statement
      Timeout.timeout(1) { cancel }
    rescue Timeout::Error
      nil
    end
  end
end
