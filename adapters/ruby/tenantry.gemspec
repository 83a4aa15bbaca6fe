# frozen_string_literal: true

require_relative "lib/tenantry/version"

Gem::Specification.new do |spec|
  spec.name = "tenantry"
  spec.version = Tenantry::VERSION
  spec.authors = ["The Tenantry authors"]
  spec.summary = "Which tenant a request or job is for, and a way to its data that leads nowhere else"
  spec.description = "The Ruby adapter of Tenantry: Rack middleware, sealed transactions on PostgreSQL, " \
                     "Active Record, jobs, RuboCop cops and RSpec support."
  spec.license = "Apache-2.0"
  spec.required_ruby_version = ">= 3.1"
  spec.metadata = { "rubygems_mfa_required" => "true" }
  spec.files = Dir.chdir(__dir__) { Dir["lib/**/*.rb", "config/*.yml", "examples/**/*.ru", "README.md", "LICENSE"] }
  spec.require_paths = ["lib"]

  # Optional, when the application has them: activerecord >= 6.1, rack, activejob, rubocop, rspec.
  spec.add_dependency "pg", ">= 1.3", "< 2"
end
