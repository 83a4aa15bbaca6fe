# frozen_string_literal: true

require "rubocop"
require_relative "rubocop/cop/tenantry/schema"
require_relative "rubocop/cop/tenantry/model_without_tenant"
require_relative "rubocop/cop/tenantry/default_scope"

# `require: rubocop-tenantry` in .rubocop.yml brings the cops with their defaults.
module RuboCop
  module Tenantry
    DEFAULTS = File.expand_path("../config/default.yml", __dir__)

    # RuboCop knows settings of cops from its default configuration only.
    def self.inject_defaults
      configuration = ConfigLoader.load_file(DEFAULTS)
      merged = ConfigLoader.merge_with_default(configuration, DEFAULTS)
      ConfigLoader.instance_variable_set(:@default_configuration, merged)
    end
  end
end

RuboCop::Tenantry.inject_defaults
