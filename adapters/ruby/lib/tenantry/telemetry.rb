# frozen_string_literal: true

module Tenantry
  # Whose log line and whose span it is.
  module Telemetry
    module_function

    # `tenant.id`, `tenant.slug`, `tenant.isolation`, `tenant.cell` of the current tenant; empty without one.
    def attributes
      Current.tenant&.attributes || {}
    end

    # For ActiveSupport::TaggedLogging and the like: `tenant.id=ten_… tenant.slug=acme`.
    def tag
      attributes.slice("tenant.id", "tenant.slug").map { |name, value| "#{name}=#{value}" }.join(" ")
    end

    # Adds the attributes to the current OpenTelemetry span, where that library is loaded.
    def annotate_span
      return unless defined?(::OpenTelemetry::Trace)

      span = ::OpenTelemetry::Trace.current_span
      attributes.each { |name, value| span.set_attribute(name, value) }
    end
  end

  # A formatter for Ruby's Logger that puts the tenant's tag before each message.
  #
  #   logger.formatter = Tenantry::LogFormatter.new(logger.formatter)
  class LogFormatter
    def initialize(inner = nil)
      @inner = inner || Logger::Formatter.new
    end

    def call(severity, time, program, message)
      tag = Telemetry.tag
      return @inner.call(severity, time, program, message) if tag.empty?

      text = message.is_a?(String) ? message : message.inspect
      @inner.call(severity, time, program, "#{tag} #{text}")
    end
  end
end
