# frozen_string_literal: true

require_relative "../tenantry"

module Tenantry
  # For ActiveJob classes, and for any class that has `serialize`, `deserialize` and `perform_now`:
  #
  #   class ReportJob < ApplicationJob
  #     include Tenantry::ActiveJob
  #   end
  #
  # The tenant travels in the job's data, not among its arguments. Held jobs are retried by ActiveJob, refused ones
  # are discarded.
  module ActiveJob
    KEY = "tenantry"
    # A suspended tenant may stay so for weeks; after this many tries the queue's own rule decides.
    HELD_TRIES = 10_000
    private_constant :KEY, :HELD_TRIES

    def self.included(base)
      base.prepend(Instance)
      return unless base.respond_to?(:retry_on) && base.respond_to?(:discard_on)

      base.discard_on(JobRefused) do |job, error|
        Tenantry.configuration.logger&.error { "#{job.class.name} refused: #{error.message}" }
      end
      base.retry_on(JobHeld, wait: Job::HOLD, attempts: HELD_TRIES)
    end

    # What is wrapped around the job's own methods.
    module Instance
      # The tenant's part of the job's data.
      attr_reader :tenantry_stamp

      # Notes the current tenant. Raises JobRefused without one.
      def serialize
        @tenantry_stamp ||= Job.arguments
        super.merge(KEY => @tenantry_stamp)
      end

      def deserialize(job_data)
        super
        @tenantry_stamp = job_data[KEY]
      end

      # Runs the job for its tenant: for the noted one, or for the current one when it is performed on the spot.
      def perform(*arguments)
        stamp = @tenantry_stamp || (Current.tenant ? Job.arguments : {})
        Job.perform(stamp, transaction: self.class.tenantry_transaction?) { super(*arguments) }
      end
      ruby2_keywords(:perform)
    end

    # Class methods, added by `included` through Ruby's own hook order.
    module Settings
      # Whether the job runs inside of one transaction; otherwise it opens its own by Tenantry.transaction.
      def tenantry_transaction(value)
        @tenantry_transaction = value
      end

      def tenantry_transaction?
        return @tenantry_transaction unless @tenantry_transaction.nil?

        superclass.respond_to?(:tenantry_transaction?) ? superclass.tenantry_transaction? : true
      end
    end

    class << self
      private

      def append_features(base)
        super
        base.extend(Settings)
      end
    end
  end
end
