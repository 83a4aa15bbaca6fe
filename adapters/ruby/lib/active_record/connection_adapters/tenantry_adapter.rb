# frozen_string_literal: true

# Where Active Record before 7.2 looks for the adapter `tenantry`.
require "tenantry/active_record"
