# frozen_string_literal: true

require "digest"

module RuboCop
  module Cop
    module Tenantry
      # Tables and their columns, read from `db/schema.rb` or `db/structure.sql`. Nothing is executed.
      class Schema
        # A name as PostgreSQL writes it, perhaps with its schema before it.
        NAME = /(?:"?\w+"?\.)?"?(?<table>\w+)"?/
        TABLE = /^CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?#{NAME} \((?<body>.*?)^\)/m
        COLUMN = /^\s*"?(?<column>\w+)"?\s/
        private_constant :NAME, :TABLE, :COLUMN

        # Column names of each table; nil where the file does not exist.
        def self.read(path)
          return unless path && File.file?(path)

          text = File.read(path)
          path.end_with?(".sql") ? from_sql(text) : from_ruby(text)
        end

        def self.from_sql(text)
          tables = {}
          text.scan(TABLE) do
            found = Regexp.last_match
            tables[found[:table]] = found[:body].scan(COLUMN).flatten
          end
          tables
        end

        def self.from_ruby(text)
          source = ProcessedSource.new(text, RuboCop::TargetRuby::DEFAULT_VERSION)
          tables = {}
          source.ast&.each_node(:block) do |block|
            table = table_of(block)
            tables[table] = columns(block) if table
          end
          tables
        end

        # The table that a block of `create_table` makes; nil for other blocks.
        def self.table_of(block)
          call = block.send_node
          name = call.first_argument
          return unless call.method?(:create_table) && name && (name.str_type? || name.sym_type?)

          name.value.to_s
        end

        # The columns that a block of `create_table` makes.
        def self.columns(block)
          receiver = block.arguments.first&.source
          calls = block.each_descendant(:send).select { |call| call.receiver&.source == receiver }
          calls.flat_map { |call| named(call) }
        end

        def self.named(call)
          names = call.arguments.take_while { |argument| argument.str_type? || argument.sym_type? }
                      .map { |argument| argument.value.to_s }
          return [] if %i[index foreign_key check_constraint].include?(call.method_name)

          case call.method_name
          when :references, :belongs_to then names.map { |name| "#{name}_id" }
          when :column then names.first(1)
          else names
          end
        end
        private_class_method :named
      end
    end
  end
end
