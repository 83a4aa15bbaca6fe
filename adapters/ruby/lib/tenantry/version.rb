# frozen_string_literal: true

module Tenantry
  # Semantic version of the gem.
  VERSION = "0.1.0"
end
