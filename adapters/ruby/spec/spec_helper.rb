# frozen_string_literal: true

$LOAD_PATH.unshift File.expand_path("../lib", __dir__)

require "tenantry"
require "tenantry/active_record"
require "tenantry/rspec"
require_relative "support/relay"
require_relative "support/world"

RSpec.configure do |config|
  config.disable_monkey_patching!
  config.expect_with(:rspec) { |expectations| expectations.syntax = :expect }
  # What is live needs the product itself; it is started once.
  config.before(:each, :live) { World.prepare(self.class.metadata.fetch(:backend, :plain)) }
  config.after(:suite) { World.stop }
end
