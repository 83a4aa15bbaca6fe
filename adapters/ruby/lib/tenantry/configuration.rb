# frozen_string_literal: true

require "ipaddr"
require "logger"
require "uri"

# All settings, with their defaults. A value is checked when it is set, so that a mistake shows at start and not in
# the first request.
module Tenantry
  class Configuration
    # Sources that a request may name its tenant by.
    SOURCES = %i[host path header token].freeze
    # Hosts to which the token may go without TLS.
    LOCAL = /\A(?:localhost|127(?:\.[0-9]{1,3}){3}|\[?::1\]?)\z/
    private_constant :LOCAL

    # The control plane.
    attr_accessor :environment, :ca_file, :insecure_http, :open_timeout, :read_timeout
    # What is kept of its answers.
    attr_accessor :stale_max, :cache_size, :credential_max_age
    # Identification.
    attr_accessor :token_claim, :custom_domains, :forwarded_host, :excluded_paths, :require_tenant, :fixed_tenant
    # Connections.
    attr_accessor :connections_max, :connections_per_login, :connections_per_tenant, :waiting_max, :checkout_timeout,
                  :idle_timeout, :connect_timeout, :connect_options, :application_name
    # The rest.
    attr_accessor :logger

    attr_reader :url, :base_domains, :sources, :trusted_peers
    attr_writer :token, :token_file

    def initialize(env = ENV)
      control_plane_defaults(env)
      identification_defaults(env)
      connection_defaults
      @logger = Logger.new($stderr, level: Logger::WARN)
    end

    def url=(text)
      uri = URI.parse(text.to_s)
      unless uri.is_a?(URI::HTTP) && uri.host && uri.userinfo.nil?
        raise ConfigurationError, "url must look like https://tenantry.internal:7070, without a user"
      end

      @url = uri
    rescue URI::InvalidURIError
      raise ConfigurationError, "url must look like https://tenantry.internal:7070"
    end

    def base_domains=(domains)
      @base_domains = Array(domains).map do |domain|
        Host.parse(domain) or raise ConfigurationError, "base_domains: `#{domain}` is not a domain name"
      end.freeze
    end

    def sources=(sources)
      sources = Array(sources).map(&:to_sym)
      strange = sources - SOURCES
      raise ConfigurationError, "sources: `#{strange.first}` is none of #{SOURCES.join(', ')}" if strange.any?

      @sources = sources.uniq.freeze
    end

    # Networks in CIDR form, or something with `call(env)`; who is in may name a tenant by header.
    def trusted_peers=(peers)
      @trusted_peers = peers.respond_to?(:call) ? peers : Array(peers).map { |network| IPAddr.new(network) }.freeze
    rescue IPAddr::Error
      raise ConfigurationError, "trusted_peers must hold networks such as 10.0.0.0/8"
    end

    # Whether the sender of a request may name tenants by header and hosts by `X-Forwarded-Host`.
    def trusted?(env)
      return trusted_peers.call(env) == true if trusted_peers.respond_to?(:call)
      return false if trusted_peers.empty?

      peer = IPAddr.new(env["REMOTE_ADDR"].to_s)
      peer = peer.native if peer.ipv4_mapped?
      trusted_peers.any? { |network| network.family == peer.family && network.include?(peer) }
    rescue IPAddr::Error
      false
    end

    # The application's token. A file is read each time, so that a rotated token is picked up.
    def token
      return @token if @token
      raise ConfigurationError, "set TENANTRY_TOKEN or TENANTRY_TOKEN_FILE" unless @token_file

      File.read(@token_file, 4_096).strip
    rescue SystemCallError
      raise ConfigurationError, "the token's file `#{@token_file}` cannot be read"
    end

    # Raises what makes it impossible to ask the control plane.
    def check!
      raise ConfigurationError, "set TENANTRY_URL, or url" unless url
      return if url.scheme == "https" || insecure_http || LOCAL.match?(url.host)

      raise ConfigurationError, "passwords would travel to #{url.host} in the clear; use https, or set insecure_http " \
                                "when the network protects them"
    end

    # How many connections the tenant of a route may use at a time. Where a login is shared, the plan cannot give one
    # tenant what the others need.
    def share(route)
      bound = route.isolation == "shared" ? connections_per_tenant : connections_per_login
      [[route.connections || bound, bound].min, 1].max
    end

    # Never shows the token.
    def inspect
      "#<Tenantry::Configuration #{url} #{environment}>"
    end

    private

    def control_plane_defaults(env)
      self.url = env["TENANTRY_URL"] if env["TENANTRY_URL"]
      @environment = env.fetch("TENANTRY_ENVIRONMENT", "prod")
      @token = env["TENANTRY_TOKEN"]
      @token_file = env["TENANTRY_TOKEN_FILE"]
      @insecure_http = false
      @open_timeout = 2
      @read_timeout = 5
      @stale_max = 24 * 3_600
      @cache_size = 10_000
      @credential_max_age = 3_600
    end

    def identification_defaults(env)
      @base_domains = [].freeze
      @sources = %i[host].freeze
      @trusted_peers = [].freeze
      @custom_domains = false
      @forwarded_host = false
      @excluded_paths = %w[/livez /readyz /healthz /up]
      @require_tenant = true
      @fixed_tenant = env["TENANTRY_TENANT"]
    end

    def connection_defaults
      @connections_max = 50
      @connections_per_login = 20
      @connections_per_tenant = 8
      @waiting_max = 1_000
      @checkout_timeout = 5
      @idle_timeout = 60
      @connect_timeout = 5
      @connect_options = {}
      @application_name = "tenantry ruby"
    end
  end
end
