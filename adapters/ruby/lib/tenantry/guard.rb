# frozen_string_literal: true

# Guarded code: a statement inside of it that is not part of an entered tenant transaction is an error, also on
# connections that the adapter knows nothing of.
#
# The check is made in PG::Connection, before anything is sent. A violation that the guarded code rescues is raised
# again at its end, so that it cannot be swallowed.
module Tenantry
  module Guard
    KEY = :tenantry_guard
    private_constant :KEY

    # Prepended to PG::Connection when something is guarded for the first time.
    module Watch
      Connection::SENDERS.each do |name|
        define_method(name) do |*arguments, &block|
          Guard.check!(self)
          super(*arguments, &block)
        end
        ruby2_keywords(name)
      end
    end

    module_function

    # Runs the block guarded.
    #
    # Raises TenantScopeMissing when a statement ran, or tried to run, outside of an entered transaction.
    def enforce
      PG::Connection.prepend(Watch) unless PG::Connection.include?(Watch)
      outer = Thread.current[KEY]
      violations = []
      Thread.current[KEY] = violations
      begin
        result = yield
      ensure
        Thread.current[KEY] = outer
        outer&.concat(violations)
      end
      raise violations.first if violations.any?

      result
    end

    # Raises when guarded code uses a connection that is not in the tenant's transaction.
    def check!(connection)
      violations = Thread.current[KEY]
      return if violations.nil? || connection.is_a?(Connection)

      error = TenantScopeMissing.new("guarded code sent a statement outside of a tenant's transaction")
      violations << error
      raise error
    end

    # Notes a violation that a Connection has found.
    def note(error)
      Thread.current[KEY]&.push(error)
      error
    end
  end

  # `extend Tenantry::Guarded` gives a class `enforce_tenant_isolation`, which marks methods as guarded.
  #
  #   class Reports
  #     extend Tenantry::Guarded
  #     enforce_tenant_isolation def totals
  #       Message.group(:channel_id).count
  #     end
  #   end
  module Guarded
    # Marks instance methods as guarded; gives the last name, as `private` and the like do.
    def enforce_tenant_isolation(*names)
      wrapper = Module.new do
        names.each do |name|
          define_method(name) { |*arguments, &block| Guard.enforce { super(*arguments, &block) } }
          ruby2_keywords(name)
        end
      end
      visibility = names.to_h { |name| [name, Guarded.visibility(self, name)] }
      prepend(wrapper)
      visibility.each { |name, access| wrapper.send(access, name) }
      names.last
    end

    # Whether a method is public, protected or private.
    def self.visibility(owner, name)
      return :private if owner.private_method_defined?(name)

      owner.protected_method_defined?(name) ? :protected : :public
    end
  end
end
