# frozen_string_literal: true

# Hosts as requests name them, in one form, and the label in front of a base domain.
#
# INVARIANT: a host is compared as a whole sequence of labels. `acme.example.com` belongs to `example.com`;
# `evil-example.com`, `acme.example.com.evil.tld` and `a.b.example.com` do not.
module Tenantry
  module Host
    # Longest name in characters (RFC 1035, section 2.3.4).
    MAX = 253
    LABEL = /\A[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\z/
    PORT = /\A[0-9]{1,5}\z/
    private_constant :LABEL, :PORT

    module_function

    # The name in lower case without port and one final dot; nil when the text is no host name. International names
    # come in their ASCII form and are left as they are.
    def parse(text)
      # The longest name with its final dot and port; beyond it nothing is looked at.
      return if text.nil? || text.bytesize > MAX + 7 || !text.ascii_only?

      name, port = text.split(":", 2)
      return if name.nil? || (port && !port?(port))

      name = name.delete_suffix(".").downcase
      name if name.length <= MAX && labels?(name.split(".", -1))
    end

    # What stands in front of the longest base that fits: `[:tenant, label]`, `:base` for a base itself, `:nobody` when
    # there is more than one label, `:elsewhere` when no base fits.
    def below(name, bases)
      return :base if bases.include?(name)

      base = bases.select { |candidate| name.end_with?(".#{candidate}") }.max_by(&:length)
      return :elsewhere unless base

      label = name.delete_suffix(".#{base}")
      label.include?(".") ? :nobody : [:tenant, label]
    end

    # A name whose last label is a number can only be an address (RFC 1123, section 2.1).
    def labels?(labels)
      labels.any? && labels.all? { |label| LABEL.match?(label) } && !labels.last.match?(/\A[0-9]+\z/)
    end
    private_class_method :labels?

    def port?(text)
      PORT.match?(text) && text.to_i.between?(1, 65_535)
    end
    private_class_method :port?
  end
end
