# frozen_string_literal: true

# What the control plane tells about a tenant. Values, frozen, without behaviour that reaches outside.
module Tenantry
  # The answer of `resolve`: who the tenant is and whether its users are let in.
  Tenant = Struct.new(:id, :uuid, :slug, :state, :generation, :isolation, :cell, keyword_init: true) do
    # Reads the JSON of an answer. Members that are not known are ignored, so that newer servers may say more.
    def self.from_json(body)
      new(id: body.fetch("tenant"), uuid: Tenantry.uuid(body.fetch("uuid")), slug: body["slug"].to_s.freeze,
          state: body.fetch("state").to_s.freeze, generation: Integer(body.fetch("generation")),
          isolation: body["isolation"].to_s.freeze, cell: body["cell"].to_s.freeze).freeze
    end

    def open?
      state == "open"
    end

    # Raises what stands in the way; gives the tenant itself when it is open.
    def admit!
      case state
      when "open" then self
      when "preparing" then raise TenantPreparing, "the tenant `#{slug}` is being prepared"
      when "suspended" then raise TenantSuspended, "the tenant `#{slug}` is suspended"
      when "archived" then raise TenantGone, "the tenant `#{slug}` is archived"
      else raise TenantSuspended, "the tenant `#{slug}` is not open"
      end
    end

    # Whether both are one tenant. The id decides; state and generation change.
    def same?(other)
      !other.nil? && uuid == other.uuid
    end

    # Attributes for log lines and spans.
    def attributes
      { "tenant.id" => id, "tenant.slug" => slug, "tenant.isolation" => isolation, "tenant.cell" => cell }
        .reject { |_, value| value.to_s.empty? }
    end
  end

  # The answer of `route`: where the tenant's data is. Nothing in it is secret.
  Route = Struct.new(:tenant, :uuid, :slug, :state, :generation, :isolation, :host, :port, :database, :schema, :role,
                     :connections, :secret_ref, keyword_init: true) do
    def self.from_json(body)
      texts = %w[tenant slug state isolation host database schema role].to_h do |name|
        [name.to_sym, body.fetch(name).to_s.freeze]
      end
      new(**texts, uuid: Tenantry.uuid(body.fetch("uuid")), generation: Integer(body.fetch("generation")),
                   port: Integer(body.fetch("port")), secret_ref: body.fetch("secretRef").to_s.freeze,
                   connections: body["connections"]&.then { |count| Integer(count) }).freeze
    end

    # Server, database and login: what a connection is opened for. Tenants at the shared level have it in common.
    def login
      "#{role}@#{host}:#{port}/#{database}"
    end
  end

  # A password and the key of a database's seal. Kept in memory only; prints nothing of itself.
  class Credential
    # Length of a seal's key in bytes.
    KEY_BYTES = 32

    attr_reader :secret_ref, :role, :password, :kid, :key

    def self.from_json(body)
      seal = body.fetch("seal")
      new(secret_ref: body.fetch("secretRef"), role: body.fetch("role"), password: body.fetch("password"),
          kid: Integer(seal.fetch("kid")), key: seal.fetch("key").unpack1("m0"))
    end

    def initialize(secret_ref:, role:, password:, kid:, key:)
      raise ArgumentError, "a seal's key has #{KEY_BYTES} bytes" unless key.bytesize == KEY_BYTES

      @secret_ref = secret_ref
      @role = role
      @password = password
      @kid = kid
      @key = key.b.freeze
      freeze
    end

    def inspect
      "#<Tenantry::Credential #{secret_ref}>"
    end
    alias to_s inspect

    # A secret must not reach a cache, a job or a session by accident.
    def marshal_dump
      raise TypeError, "a credential is not written anywhere"
    end

    # For serializers that ask for a hash or JSON.
    def to_json(*)
      raise TypeError, "a credential is not written anywhere"
    end
    alias as_json to_json
    alias to_h to_json
  end

  UUID = /\A\h{8}-\h{4}-\h{4}-\h{4}-\h{12}\z/
  private_constant :UUID

  # Reads a UUID in its usual form; gives it in lower case.
  def self.uuid(text)
    raise ArgumentError, "not a UUID: `#{text}`" unless text.is_a?(String) && UUID.match?(text)

    text.downcase.freeze
  end
end
