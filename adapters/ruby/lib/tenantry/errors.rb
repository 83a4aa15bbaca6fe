# frozen_string_literal: true

# Everything that the adapter raises. Each class carries what a caller needs to answer: an HTTP status, a code that
# never varies, and whether the same call may succeed later.
module Tenantry
  # Base of all errors of the adapter.
  class Error < StandardError
    class << self
      # HTTP status that the middleware answers with; 500 unless a class says otherwise.
      def status
        @status || (self == Error ? 500 : superclass.status)
      end

      # Title of the problem document; never varies.
      def title
        @title || (self == Error ? "Internal error" : superclass.title)
      end

      # The code of the problem document: the class's own name.
      def code
        name.split("::").last
      end

      private

      def answers(status, title)
        @status = status
        @title = title
      end
    end

    # Seconds after which the call may be repeated; nil when repeating is of no use.
    attr_reader :retry_after

    def initialize(message = nil, retry_after: nil)
      super(message || self.class.title)
      @retry_after = retry_after
    end

    # Whether the same call may succeed later without anybody changing it.
    def retryable?
      !retry_after.nil?
    end
  end

  # Code touched tenants' data without an entered tenant transaction. Always a defect of the application.
  class TenantScopeMissing < Error
    answers 500, "No tenant scope"
  end

  # Two sources of a request name different tenants, or code mixes two tenants in one transaction.
  class TenantMismatch < Error
    answers 400, "Tenant mismatch"
  end

  # A source of the request is malformed, or none names a tenant.
  class TenantRefused < Error
    answers 400, "Tenant name refused"
  end

  # No such tenant, host or place. Unknown and hidden look the same.
  class TenantNotFound < Error
    answers 404, "Tenant not found"
  end

  # The tenant is not open yet.
  class TenantPreparing < Error
    answers 503, "Tenant not ready"
    def initialize(message = nil, retry_after: 2)
      super
    end
  end

  # The tenant is not open at present. A job is held.
  class TenantSuspended < Error
    answers 403, "Tenant suspended"
    # A suspended tenant may be resumed, so held jobs are worth another try.
    def retryable?
      true
    end
  end

  # The tenant is no more; its data is kept.
  class TenantGone < Error
    answers 410, "Tenant gone"
  end

  # All connections that the tenant may use are taken, and none became free in time.
  class PoolExhausted < Error
    answers 503, "No connection free"
    def initialize(message = nil, retry_after: 1)
      super
    end
  end

  # The control plane cannot be reached, and nothing that may still be used is known.
  class ControlPlaneUnavailable < Error
    answers 503, "Control plane unavailable"
    def initialize(message = nil, retry_after: 2, answer: false)
      super(message, retry_after: retry_after)
      @answer = answer
    end

    # Whether it answered, and said "not now" to this question only.
    def answer?
      @answer
    end
  end

  # The control plane answered, and refused: a bad token, a missing right, a wrong environment.
  class ControlPlaneRefused < Error
    answers 500, "Control plane refused"
  end

  # The database refuses our login or key, also with a fresh credential.
  class CredentialRefused < Error
    answers 503, "Database refused the credential"
    def initialize(message = nil, retry_after: 5)
      super
    end
  end

  # The database cannot be reached.
  class DatabaseUnavailable < Error
    answers 503, "Database unavailable"
    def initialize(message = nil, retry_after: 2)
      super
    end
  end

  # A setting is missing or wrong; the message says which and what to do.
  class ConfigurationError < Error
    answers 500, "Configuration error"
  end
end
