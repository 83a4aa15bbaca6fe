# frozen_string_literal: true

module Tenantry
  # Rack middleware: finds the tenant of a request, refuses who may not in, and sets the context for as long as the
  # request and its body last.
  #
  #   use Tenantry::Middleware
  #   use Tenantry::Middleware, sources: %i[path], base_domains: %w[example.com]
  #
  # It goes behind whatever verifies access tokens, and before everything that touches data.
  class Middleware
    # Where the tenant stands in the Rack environment, for code that gets no context.
    ENV_KEY = "tenantry.tenant"

    # Settings given here hold for this middleware only.
    def initialize(app, **settings)
      strange = settings.keys.find { |name| !Configuration.method_defined?(:"#{name}=") }
      raise ConfigurationError, "there is no setting `#{strange}`" if strange

      @app = app
      @settings = settings
    end

    def call(env)
      settings = configuration
      return @app.call(env) if excluded?(env, settings)

      tenant = identify(env, settings)
      return Current.without { @app.call(env) } unless tenant

      serve(env, tenant, settings)
    rescue Error => error
      log(error)
      Problem.answer(error)
    end

    private

    def configuration
      @configuration ||= Tenantry.configuration.dup.tap do |copy|
        @settings.each { |name, value| copy.public_send(:"#{name}=", value) }
      end
    end

    def excluded?(env, settings)
      settings.excluded_paths.any? { |path| path === env["PATH_INFO"] } # rubocop:disable Style/CaseEquality
    end

    # The one tenant that all sources name; nil without any, where that is allowed.
    def identify(env, settings)
      return Tenantry.client.resolve(settings.fixed_tenant).admit! if settings.fixed_tenant

      found = Identify.names(env, settings).map do |name|
        [name.source, Tenantry.client.resolve(name.text, kind: name.kind)]
      end
      if found.empty?
        raise TenantRefused, "nothing in the request names a tenant" if settings.require_tenant

        return
      end
      agree(found).admit!
    end

    def agree(found)
      source, tenant = found.first
      other, = found.find { |_, another| !another.same?(tenant) }
      raise TenantMismatch, "#{source} and #{other} name different tenants" if other

      tenant
    end

    def serve(env, tenant, settings)
      env[ENV_KEY] = tenant
      Current.with(tenant) do
        Telemetry.annotate_span
        status, headers, body = stripped(env, settings) { @app.call(env) }
        return [status, headers, body] if body.respond_to?(:to_ary)

        [status, headers, ScopedBody.new(body, tenant)]
      end
    end

    # `/t/<slug>` moves from the path into the script name, so that links come out right.
    def stripped(env, settings)
      taken, left = Identify.split_path(env["PATH_INFO"]) if settings.sources.include?(:path) && !settings.fixed_tenant
      return yield unless taken

      script, path = env.values_at("SCRIPT_NAME", "PATH_INFO")
      begin
        env["SCRIPT_NAME"] = "#{script}#{taken}"
        env["PATH_INFO"] = left
        yield
      ensure
        env["SCRIPT_NAME"] = script
        env["PATH_INFO"] = path
      end
    end

    # Refusals are everyday; defects of the application and of the installation are not.
    def log(error)
      level = error.class.status == 500 ? Logger::ERROR : Logger::INFO
      Tenantry.configuration.logger&.add(level) { "#{error.class.code}: #{error.message}" }
    end

    # A body that is made while it is sent. It belongs to the request, and ends when the tenant is no longer open:
    # checked before each part, at most once per `CHECK` seconds.
    class ScopedBody
      # Seconds between two looks at the tenant's state. The client's memory adds its own age, at most a second or so.
      CHECK = 1.0

      def initialize(body, tenant)
        @body = body
        @tenant = tenant
      end

      def each
        return enum_for(:each) unless block_given?

        checked = now
        Current.with(@tenant) do
          @body.each do |part|
            if now - checked >= CHECK
              break unless open?

              checked = now
            end
            yield part
          end
        end
      end

      # Rack 3: a body that writes to the stream itself. It gets the context; it has to look at the state by itself.
      def call(stream)
        Current.with(@tenant) { @body.call(stream) }
      end

      def close
        Current.with(@tenant) { @body.close } if @body.respond_to?(:close)
      end

      def respond_to_missing?(name, include_all = false)
        %i[to_path].include?(name) ? @body.respond_to?(name, include_all) : super
      end

      def method_missing(name, *arguments)
        name == :to_path && @body.respond_to?(:to_path) ? @body.to_path(*arguments) : super
      end

      # Rack tells the two kinds of body apart by these.
      def respond_to?(name, include_all = false)
        return @body.respond_to?(name, include_all) if %i[each call].include?(name)

        super
      end

      private

      def open?
        Tenantry.client.resolve(@tenant.id).open?
      rescue ControlPlaneUnavailable
        true
      rescue TenantNotFound
        false
      end

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end
    end
    private_constant :ScopedBody
  end
end
