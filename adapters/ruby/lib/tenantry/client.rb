# frozen_string_literal: true

require "uri"

# What the control plane knows of tenants, with a memory. Thread-safe; one per process is enough.
module Tenantry
  class Client
    # Names that nobody has are remembered for at most this many seconds, and this many of them.
    UNKNOWN_MAX_AGE = 1.0
    UNKNOWN_SIZE = 1_000
    # The longest name that is worth asking for: a host.
    NAME_MAX = 253
    private_constant :UNKNOWN_MAX_AGE, :UNKNOWN_SIZE, :NAME_MAX

    def initialize(configuration, http: Http.new(configuration))
      @configuration = configuration
      @http = http
      bounds = { size: configuration.cache_size, stale_max: configuration.stale_max }
      @names = Cache.new(**bounds)
      @unknown = Cache.new(size: UNKNOWN_SIZE, stale_max: 0)
      @routes = Cache.new(**bounds)
      @credentials = Cache.new(**bounds)
    end

    # The tenant with a slug, an id (`ten_…`) or, for `kind: :host`, a proven domain.
    #
    # Raises TenantNotFound, ControlPlaneUnavailable, ControlPlaneRefused.
    def resolve(name, kind: :tenant)
      key = [kind, name.to_s]
      raise TenantNotFound if key.last.empty? || key.last.bytesize > NAME_MAX || @unknown.peek(key)

      @names.fetch(key) { look_up(*key) }
    rescue TenantNotFound
      @names.forget(key)
      raise
    end

    # The tenant as it is now, past the memory. What was known is forgotten first.
    def resolve_anew(tenant)
      forget(tenant)
      resolve(tenant.id)
    end

    # Where the tenant's data is.
    def route(tenant)
      @routes.fetch(tenant.uuid) do
        status, body = @http.get("#{root}/tenants/#{escape(tenant.id)}/route")
        raise TenantNotFound if status == 404

        answer(status, body) { [Route.from_json(body), max_age(body)] }
      end
    end

    # The password and seal key that `secret_ref` names. Each issue is audited, so answers are kept for
    # `credential_max_age`, or until the database refuses them.
    def credential(secret_ref)
      @credentials.fetch(secret_ref) do
        status, body = @http.send_json(:post, "#{root}/credentials", { "secretRef" => secret_ref })
        raise TenantNotFound if status == 404

        answer(status, body) { [Credential.from_json(body), @configuration.credential_max_age] }
      end
    end

    # Throws away what is known of a tenant: who it is and where it is.
    def forget(tenant)
      [tenant.id, tenant.slug].each { |name| @names.forget([:tenant, name]) }
      @routes.forget(tenant.uuid)
    end

    # Has a credential asked for again, because the database refused it; another one that came meanwhile stays.
    def doubt_credential(secret_ref, refused)
      @credentials.doubt(secret_ref, refused)
    end

    private

    def look_up(kind, name)
      status, body = @http.get("#{root}/resolve", kind => name)
      # 400 and 422: the control plane finds no name in it, which is as unknown as can be.
      if [400, 404, 422].include?(status)
        @unknown.put([kind, name], true, UNKNOWN_MAX_AGE)
        raise TenantNotFound
      end
      answer(status, body) { [Tenant.from_json(body), max_age(body)] }
    end

    def answer(status, body)
      if status == 200
        begin
          return yield
        rescue KeyError, TypeError, ArgumentError => error
          raise ControlPlaneRefused, "the control plane's answer cannot be read (#{error.message})"
        end
      end
      raise TenantNotFound if [400, 404, 422].include?(status)

      raise ControlPlaneRefused, "the control plane answered #{status}: #{body['detail'] || body['title']}"
    end

    # Milliseconds in the contract, seconds here; an answer without it is not kept.
    def max_age(body)
      [Float(body["maxAgeMs"] || 0) / 1_000, 0.0].max
    end

    def root
      "/v1/environments/#{escape(@configuration.environment)}"
    end

    def escape(text)
      URI.encode_www_form_component(text)
    end
  end
end
