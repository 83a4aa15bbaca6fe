# frozen_string_literal: true

# What a request says about its tenant. Pure: a Rack environment and settings in, names out.
#
# INVARIANT: no source has precedence. Each present source is one name; that they mean one tenant is checked after
# they were resolved. A source that is present and malformed is a refusal.
module Tenantry
  module Identify
    # `kind` is :tenant (slug or id) or :host (a domain of the tenant's own).
    Name = Struct.new(:source, :kind, :text)
    # Slugs, and ids of tenants. A slug cannot hold an underscore.
    SLUG = /\A[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\z/
    ID = /\Aten_[0-9a-z]{26}\z/
    PATH = "/t/"
    private_constant :SLUG, :ID, :PATH

    module_function

    # All names of a request, in the order of the configured sources.
    #
    # Raises TenantRefused, TenantNotFound.
    def names(env, configuration)
      configuration.sources.filter_map { |source| send(:"from_#{source}", env, configuration) }
    end

    # The path without `/t/<slug>`: `[what was taken, what is left]`; nil for a path of another form.
    def split_path(path)
      return unless path.to_s.start_with?(PATH)

      slug = path.delete_prefix(PATH)[%r{\A[^/]*}]
      ["#{PATH}#{slug}", path.delete_prefix("#{PATH}#{slug}")]
    end

    def from_host(env, configuration)
      text = host_of(env, configuration)
      return if text.nil?

      name = Host.parse(text)
      # An address names nobody, and it is what health checks send.
      return address?(text) ? nil : refuse("the host is malformed") if name.nil?

      case below = Host.below(name, configuration.base_domains)
      when :base then nil
      when :nobody then raise TenantNotFound
      when :elsewhere then Name.new(:host, :host, name) if configuration.custom_domains
      else Name.new(:host, :tenant, below.last)
      end
    end

    def from_path(env, _configuration)
      taken, = split_path(env["PATH_INFO"])
      return unless taken

      slug = taken.delete_prefix(PATH)
      raise TenantNotFound unless SLUG.match?(slug)

      Name.new(:path, :tenant, slug)
    end

    def from_header(env, configuration)
      text = env["HTTP_X_TENANT_ID"]
      # From outside it is no source, whatever it holds: nobody can break a request by adding one.
      return if text.nil? || !configuration.trusted?(env)

      named(:header, text)
    end

    # The claim of a token that the application has verified before.
    def from_token(env, configuration)
      text = configuration.token_claim&.call(env)
      named(:token, text) unless text.nil?
    end

    def named(source, text)
      text = text.to_s
      raise TenantNotFound unless SLUG.match?(text) || ID.match?(text)

      Name.new(source, :tenant, text)
    end
    private_class_method :named

    # `X-Forwarded-Host` counts from trusted peers only, and of several the last, which the nearest proxy wrote.
    def host_of(env, configuration)
      forwarded = env["HTTP_X_FORWARDED_HOST"] if configuration.forwarded_host
      return forwarded.split(",").last.to_s.strip if forwarded && configuration.trusted?(env)

      env["HTTP_HOST"] || env["SERVER_NAME"]
    end
    private_class_method :host_of

    def address?(text)
      text.match?(/\A(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.]{2,45}\])(?::[0-9]{1,5})?\z/)
    end
    private_class_method :address?

    def refuse(message)
      raise TenantRefused, message
    end
    private_class_method :refuse
  end
end
