# frozen_string_literal: true

module Tenantry
  # Why a tenant's transaction could not be entered, before anything of the application ran. Kept inside of the
  # adapter: Entry turns it into another attempt, or into an error for the application.
  class SealError < Error
    # What each SQLSTATE means here. 55000 is an unarmed backend, 3D000 a database that is gone.
    KINDS = {
      "TN001" => :moved, "TN002" => :shut, "TN003" => :absent, "3D000" => :absent, "28000" => :refused,
      "28P01" => :refused, "55000" => :refused, "57014" => :lost, "55P03" => :lost, "53300" => :full
    }.freeze
    # Classes of states that say: the session is gone, or the server is.
    LOST = /\A(?:08|57P|25P03)/
    STATE = /(?:FATAL|PANIC|ERROR|[[:upper:]]+): +([0-9A-Z]{5}):/
    private_constant :KINDS, :LOST, :STATE

    # :moved, :shut, :absent, :refused, :lost, :full or :failed.
    attr_reader :kind
    # The SQLSTATE; nil when the server did not answer.
    attr_reader :sqlstate

    def self.of(error)
      state = error.result&.error_field(PG::PG_DIAG_SQLSTATE) if error.respond_to?(:result)
      state ||= error.message[STATE, 1]
      new(state, error.message.lines.first.to_s.strip)
    end

    def initialize(sqlstate, message)
      @sqlstate = sqlstate
      @kind = kind_of(sqlstate)
      super(message)
    end

    # Whether the database answered at its gate, so that the connection is sound.
    def gate?
      %i[moved shut absent].include?(kind) && sqlstate.start_with?("TN")
    end

    private

    def kind_of(state)
      return :lost if state.nil? || LOST.match?(state)

      KINDS.fetch(state, :failed)
    end
  end
end
