# frozen_string_literal: true

module Tenantry
  # Around Ruby's fork. It comes before anything else in the child: a connection that is collected as garbage there
  # would say goodbye to the server in the name of the parent's.
  module Fork
    def _fork
      super.tap { |pid| Tenantry.after_fork if pid.zero? }
    end
  end

  Process.singleton_class.prepend(Fork)
end
