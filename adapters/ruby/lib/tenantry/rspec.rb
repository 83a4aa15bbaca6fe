# frozen_string_literal: true

require "rspec/core"
require_relative "testing"

module Tenantry
  # Support for RSpec: helpers, matchers, shared examples, and the check that no model was forgotten.
  #
  #   require "tenantry/rspec"
  #   Tenantry::RSpec.pair { [tenant_a, tenant_b] }
  module RSpec
    @covered = []

    class << self
      # Models that have the shared examples.
      attr_reader :covered

      # Says how two open tenants are made for the shared examples. Called once, when they are needed first.
      def pair(&block)
        @pair = block
        @tenants = nil
      end

      def tenants
        raise ConfigurationError, "say Tenantry::RSpec.pair { [tenant_a, tenant_b] } in spec_helper" unless @pair

        @tenants ||= @pair.call
      end

      # Models of tenants' data: everything below the tenants' base class, except abstract ones.
      def models
        require_relative "active_record"
        ActiveRecord.base.descendants.reject { |model| model.abstract_class? || model.name.nil? }
                    .reject { |model| model.name.start_with?("ActiveRecord::") }
      end

      # What is wrong with the coverage, in words; empty when all is well. `exempt` gives a reason per model.
      def gaps(models = self.models, exempt: {})
        exempt = exempt.transform_keys(&:to_s)
        names = models.map(&:name)
        missing = names - covered.map(&:name) - exempt.keys
        [
          *missing.sort.map { |name| "#{name} has no example of \"enforces tenant scope\"" },
          *(exempt.keys - names).map { |name| "#{name} is exempt, and there is no such model" },
          *exempt.filter_map { |name, reason| "#{name} is exempt without a reason" if reason.to_s.strip.empty? }
        ]
      end
    end

    # Mixed into example groups.
    module Helpers
      # Runs the block in a transaction of a tenant.
      def as_tenant(tenant, &block)
        Tenantry.with_tenant(tenant) { Tenantry.transaction(&block) }
      end
    end

    # `expect { … }.to raise_tenant_scope_missing`
    module Matchers
      def raise_tenant_scope_missing
        raise_error(Tenantry::TenantScopeMissing)
      end
    end
  end
end

RSpec::Matchers.define :have_tenant_column do
  match { |model| model.columns_hash[model.try(:tenant_column) || "tenant_id"]&.null == false }
  description { "have a tenant column that is not null" }
  failure_message { |model| "#{model.table_name} has no tenant column, or one that may be null" }
end

RSpec::Matchers.define :have_no_default_scope do
  match { |model| model.default_scopes.empty? }
  failure_message { |model| "#{model.name} has a default scope; prefer an explicit one such as for_current_tenant" }
end

# Takes a block that makes one valid record, saved, in the current transaction:
#
#   it_behaves_like "enforces tenant scope" do
#     let(:make) { -> { Message.create!(body: "hello") } }
#   end
RSpec.shared_examples "enforces tenant scope" do
  model = described_class
  Tenantry::RSpec.covered << model

  let(:here) { Tenantry::RSpec.tenants.first }
  let(:there) { Tenantry::RSpec.tenants.last }
  let!(:record) { as_tenant(here) { make.call } }
  let(:found) { model.where(model.primary_key => record.id) }

  after { as_tenant(here) { found.delete_all } }

  it "is read and written in a tenant's transaction only" do
    expect { model.count }.to raise_tenant_scope_missing
    expect { model.delete_all }.to raise_tenant_scope_missing
    Tenantry.with_tenant(here) { expect { model.first }.to raise_tenant_scope_missing }
  end

  it "is seen by its own tenant" do
    as_tenant(here) { expect(found.count).to eq(1) }
  end

  it "is not seen, changed or deleted by another tenant" do
    as_tenant(there) do
      expect(model.find_by(model.primary_key => record.id)).to be_nil
      expect { model.find(record.id) }.to raise_error(ActiveRecord::RecordNotFound)
      expect(found.update_all(model.primary_key => record.id)).to eq(0)
      expect(found.delete_all).to eq(0)
    end
    as_tenant(here) { expect(found.count).to eq(1) }
  end

  it "cannot be given to another tenant" do
    as_tenant(here) do |transaction|
      next unless model.columns_hash.key?("tenant_id")

      attempt = -> { transaction.savepoint { found.update_all(tenant_id: there.uuid) } }
      expect(&attempt).to raise_error(ActiveRecord::StatementInvalid, /row-level security/)
      expect(model).to have_tenant_column
    end
  end

  it "has an explicit scope and no default one" do
    expect(model).to have_no_default_scope
    as_tenant(here) { expect(model.for_current_tenant.where(model.primary_key => record.id).count).to eq(1) }
  end
end

# Fails for every model of tenants' data without the examples above. Run it with the whole suite.
#
#   RSpec.describe "Tenant scope" do
#     it_behaves_like "covers every model", Country: "reference table"
#   end
RSpec.shared_examples "covers every model" do |exempt = {}|
  it "has examples for every model" do
    expect(Tenantry::RSpec.gaps(exempt: exempt)).to eq([])
  end
end

RSpec.configure do |config|
  config.include Tenantry::RSpec::Helpers
  config.include Tenantry::RSpec::Matchers
end
