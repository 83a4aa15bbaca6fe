# frozen_string_literal: true

require "open3"
require "rubocop-tenantry"
require "rubocop/rspec/support"
require "tmpdir"

RSpec.describe RuboCop::Cop::Tenantry::ModelWithoutTenant, :config do
  include RuboCop::RSpec::ExpectOffense

  let(:cop_config) { {} }
  let(:folder) { Dir.mktmpdir }
  let(:config) do
    defaults = RuboCop::ConfigLoader.default_configuration["Tenantry/ModelWithoutTenant"]
    RuboCop::Config.new({ "AllCops" => { "TargetRubyVersion" => 3.1 },
                          "Tenantry/ModelWithoutTenant" => defaults.merge(cop_config) }, "#{folder}/.rubocop.yml")
  end

  after { FileUtils.remove_entry(folder) }

  it "flags a model without the concern" do
    expect_offense(<<~RUBY)
      class Message < ApplicationRecord
            ^^^^^^^ `Message` does not include `Tenantry::TenantScoped`. Include it, or name the model under `Exempt` with a reason.
        belongs_to :channel
      end
    RUBY
    expect_offense(<<~RUBY)
      class Chat::Message < ::ActiveRecord::Base
            ^^^^^^^^^^^^^ `Chat::Message` does not include `Tenantry::TenantScoped`. Include it, or name the model under `Exempt` with a reason.
      end
    RUBY
  end

  it "is content with the concern, with abstract models, and with other classes" do
    expect_no_offenses(<<~RUBY)
      class Message < ApplicationRecord
        include Tenantry::TenantScoped
      end
      class Channel < ActiveRecord::Base
        include Comparable, TenantScoped
      end
      class ApplicationRecord < ActiveRecord::Base
        self.abstract_class = true
      end
      class PrimaryRecord < ActiveRecord::Base
        primary_abstract_class
      end
      class Message < Struct.new(:body)
      end
    RUBY
  end

  it "flags a table without the column where it is made" do
    expect_offense(<<~RUBY)
      create_table "messages", force: :cascade do |t|
      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ Table `messages` has no column `tenant_id`. Add it, or name the table under `Exempt` with a reason.
        t.text "body"
        t.index ["tenant_id"]
      end
    RUBY
    expect_no_offenses(<<~RUBY)
      create_table :messages do |t|
        t.uuid :tenant_id, null: false
      end
      create_table :channels do |t|
        t.references :tenant, type: :uuid
      end
      create_table :pins do |t|
        t.column :tenant_id, :uuid
      end
      create_table :ar_internal_metadata do |t|
        t.string :key
      end
    RUBY
  end

  schemas = {
    "db/schema.rb" => <<~RUBY,
      ActiveRecord::Schema.define(version: 1) do
        create_table "messages" do |t|
          t.text "body"
        end
        create_table "people" do |t|
          t.uuid "tenant_id", null: false
        end
        create_table "order_entries" do |t|
          t.belongs_to "tenant"
        end
      end
    RUBY
    "db/structure.sql" => <<~SQL
      SET search_path = public;
      CREATE TABLE public.messages (
          id bigint NOT NULL,
          body text
      );
      CREATE TABLE public."people" (
          tenant_id uuid NOT NULL,
          id bigint
      );
      CREATE TABLE IF NOT EXISTS order_entries (
          "tenant_id" uuid
      );
    SQL
  }
  schemas.each do |path, text|
    it "reads the columns from #{path}" do
      FileUtils.mkdir_p("#{folder}/db")
      File.write("#{folder}/#{path}", text)
      expect_offense(<<~RUBY)
        class Message < ApplicationRecord
              ^^^^^^^ Table `messages` has no column `tenant_id`. Add it, or name the table under `Exempt` with a reason.
          include TenantScoped
        end
        class Person < ApplicationRecord
          include TenantScoped
          self.table_name = "people"
        end
        class OrderEntry < ApplicationRecord
          include TenantScoped
        end
      RUBY
    end
  end

  it "exempts with a reason only" do
    cop_config["Exempt"] = { "Country" => "reference table", "Currency" => "", "regions" => "reference table" }
    expect_offense(<<~RUBY)
      class Country < ApplicationRecord
      end
      class Currency < ApplicationRecord
            ^^^^^^^^ `Currency` is exempt without a reason. Say why no tenant owns it.
      end
      create_table :regions do |t|
        t.string :name
      end
    RUBY
  end

  it "tells RuboCop's cache when the schema has changed" do
    cop = described_class.new(config)
    expect(cop.external_dependency_checksum).to be_nil
    FileUtils.mkdir_p("#{folder}/db")
    sums = %w[one two].map do |text|
      File.write("#{folder}/db/schema.rb", "# #{text}")
      described_class.new(config).external_dependency_checksum
    end
    expect(sums.compact.uniq.size).to eq(2)
  end
end

RSpec.describe RuboCop::Cop::Tenantry::DefaultScope, :config do
  include RuboCop::RSpec::ExpectOffense

  let(:config) { RuboCop::Config.new("AllCops" => { "TargetRubyVersion" => 3.1 }) }

  it "advises against default scopes in every form" do
    advice = "Prefer an explicit scope such as `for_current_tenant`; the database keeps other tenants' rows away."
    expect_offense(<<~RUBY, advice: advice)
      class Message < ApplicationRecord
        default_scope { where(tenant_id: 1) }
        ^^^^^^^^^^^^^ #{advice}
        default_scope -> { order(:id) }
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ #{advice}
        def self.default_scope
        ^^^^^^^^^^^^^^^^^^^^^^ #{advice}
          all
        end
      end
    RUBY
  end

  it "is content with explicit scopes" do
    expect_no_offenses(<<~RUBY)
      class Message < ApplicationRecord
        scope :recent, -> { order(created_at: :desc) }
        def default_scope; end
      end
    RUBY
  end
end

RSpec.describe "rubocop-tenantry" do
  it "works in a project, from the command line" do
    Dir.mktmpdir do |folder|
      File.write("#{folder}/.rubocop.yml", <<~YAML)
        require: rubocop-tenantry
        AllCops: { TargetRubyVersion: 3.1, SuggestExtensions: false, NewCops: disable }
        Tenantry/ModelWithoutTenant: { Exempt: { Country: "reference table" } }
      YAML
      File.write("#{folder}/models.rb", <<~RUBY)
        class Message < ApplicationRecord
          default_scope { all }
        end

        class Country < ApplicationRecord
        end
      RUBY
      library = File.expand_path("../../lib", __dir__)
      output, status = Open3.capture2e({ "RUBYLIB" => library }, "rubocop", "--cache", "false", "--only",
                                       "Tenantry/ModelWithoutTenant,Tenantry/DefaultScope", "--format", "emacs",
                                       chdir: folder)
      expect(status.exitstatus).to eq(1), output
      expect(output.lines.size).to eq(2), output
      expect(output).to include("models.rb:1:7", "models.rb:2:3")
    end
  end
end
