# frozen_string_literal: true

module RuboCop
  module Cop
    module Tenantry
      # Tables of tenants have the tenant's column, and their models include TenantScoped.
      #
      # Looks at models, with the tables that `db/schema.rb` or `db/structure.sql` describes, and at `create_table` in
      # migrations and in the schema.
      #
      # @example
      #   # bad
      #   class Message < ApplicationRecord
      #   end
      #
      #   # good
      #   class Message < ApplicationRecord
      #     include Tenantry::TenantScoped
      #   end
      #
      #   # bad
      #   create_table :messages do |t|
      #     t.text :body
      #   end
      #
      #   # good
      #   create_table :messages, primary_key: %i[tenant_id id] do |t|
      #     t.uuid :tenant_id, null: false
      #     t.text :body
      #   end
      class ModelWithoutTenant < Base
        CONCERN = "`%<model>s` does not include `%<concern>s`. Include it, or name the model under `Exempt` " \
                  "with a reason."
        COLUMN = "Table `%<table>s` has no column `%<column>s`. Add it, or name the table under `Exempt` with a reason."
        REASON = "`%<name>s` is exempt without a reason. Say why no tenant owns it."
        # Tables of the framework itself.
        FRAMEWORK = %w[schema_migrations ar_internal_metadata].freeze

        # So that results are not taken from RuboCop's cache when the schema has changed.
        def external_dependency_checksum
          path = schema_path
          path && Digest::SHA1.file(path).hexdigest
        end

        def on_class(node)
          return unless model?(node)

          name = node.identifier.source.delete_prefix("::")
          table = table_name(node, name)
          return exempted(node.identifier, name, table) if exempt?(name, table)
          return add_offense(node.identifier, message: missing_concern(name)) unless concern?(node)

          missing_column(node, table)
        end

        def on_block(node)
          table = Schema.table_of(node)
          return if table.nil? || FRAMEWORK.include?(table)
          return exempted(node.send_node, table) if exempt?(table)
          return if Schema.columns(node).include?(column)

          add_offense(node.send_node, message: format(COLUMN, table: table, column: column))
        end

        private

        def missing_concern(name)
          format(CONCERN, model: name, concern: cop_config["Concerns"].first)
        end

        def missing_column(node, table)
          columns = tables && tables[table]
          return if columns.nil? || columns.include?(column)

          add_offense(node.identifier, message: format(COLUMN, table: table, column: column))
        end

        def model?(node)
          parent = node.parent_class&.source&.delete_prefix("::")
          cop_config["Superclasses"].include?(parent) && !abstract?(node)
        end

        def abstract?(node)
          node.each_descendant(:send).any? do |call|
            (call.method?(:abstract_class=) && call.first_argument&.true_type?) || call.method?(:primary_abstract_class)
          end
        end

        def concern?(node)
          node.each_descendant(:send).any? do |call|
            call.method?(:include) && call.receiver.nil? && call.arguments.any? do |argument|
              cop_config["Concerns"].include?(argument.source.delete_prefix("::"))
            end
          end
        end

        # As Active Record names tables, for what can be known without running the application.
        def table_name(node, name)
          said = node.each_descendant(:send).find do |call|
            call.method?(:table_name=) && call.first_argument&.str_type?
          end
          return said.first_argument.value.split(".").last if said

          base = name.split("::").last.gsub(/([a-z\d])([A-Z])/, '\1_\2').downcase
          [base, "#{base}s", "#{base}es", base.sub(/y\z/, "ies")].find { |table| tables&.key?(table) } || "#{base}s"
        end

        def exempt?(*names)
          names.any? { |name| exemptions.key?(name) }
        end

        def exempted(node, *names)
          name = names.find { |candidate| exemptions.key?(candidate) }
          add_offense(node, message: format(REASON, name: name)) if exemptions[name].to_s.strip.empty?
        end

        def exemptions
          cop_config["Exempt"] || {}
        end

        def column
          cop_config["Column"]
        end

        def schema_path
          cop_config["Schemas"].map { |path| File.expand_path(path, config.base_dir_for_path_parameters) }
                               .find { |path| File.file?(path) }
        end

        def tables
          @tables ||= Schema.read(schema_path)
        end
      end
    end
  end
end
