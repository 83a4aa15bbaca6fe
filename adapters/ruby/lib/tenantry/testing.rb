# frozen_string_literal: true

require "securerandom"
require_relative "../tenantry"

module Tenantry
  # A test kit: tenants made for a test, in an installation such as `tenantry dev`, and removed after it.
  #
  #   kit = Tenantry::Testing::Kit.new(app: "chat", plan: "starter", regions: %w[eu-west])
  #   kit.user { |tenant| User.create!(email: "admin@#{tenant.slug}.example", display_name: "Admin") }
  #   kit.with_tenant { |tenant, admin| ... }
  #
  # It acts with the token of the configuration, which must be allowed to make and remove tenants.
  module Testing
    # The installation did not do what was asked.
    class Failed < Error
    end

    class Kit
      # Seconds that one change may take. The server waits as long before it answers.
      WAIT = 30
      CONTACT = [{ "name" => "Tests", "email" => "tests@tenantry.example" }].freeze
      private_constant :WAIT, :CONTACT

      # regions: where the tenants may live. spec: further members of the manifest's spec.
      def initialize(app:, plan:, regions:, configuration: Tenantry.configuration, spec: {})
        settings = configuration.dup
        settings.read_timeout = WAIT + 10
        @http = Http.new(settings)
        @root = "/v1/environments/#{settings.environment}/tenants"
        @app = app
        @plan = plan
        @regions = regions
        @spec = spec
        @made = []
      end

      # What makes a user; runs in a transaction of the new tenant.
      def user(&block)
        @user = block
      end

      # Makes a tenant that is open. Gives it, and what the block of `user` gave.
      def create(slug: "test-#{SecureRandom.alphanumeric(10).downcase}", plan: @plan)
        manifest = { "apiVersion" => "tenantry.dev/v1", "kind" => "Tenant", "metadata" => { "name" => slug },
                     "spec" => spec(slug, plan) }
        @made << slug
        call(:post, "#{@root}?wait=#{WAIT}s", manifest, "Idempotency-Key" => SecureRandom.hex(16))
        tenant = Tenantry.client.resolve(slug)
        made = Tenantry.with_tenant(tenant) { Tenantry.transaction { @user.call(tenant) } } if @user
        [tenant, made]
      end

      # Makes a tenant for the block, and removes it after.
      def with_tenant(**options)
        tenant, made = create(**options)
        Tenantry.with_tenant(tenant) { yield tenant, made }
      ensure
        remove(tenant) if tenant
      end

      def suspend(tenant)
        act(tenant, "suspend", "reason" => "commercial")
      end

      def resume(tenant)
        act(tenant, "resume")
      end

      def archive(tenant)
        act(tenant, "archive")
      end

      # Deletes the tenant and its rows for good, from whatever state it is in.
      def remove(tenant)
        slug = tenant.is_a?(Tenant) ? tenant.slug : tenant
        attempt { act(slug, "suspend", "reason" => "commercial") }
        attempt { act(slug, "archive") }
        call(:delete, "#{@root}/#{slug}?confirm=#{slug}&reason=tests&grace=0s&wait=#{WAIT}s", nil, "If-Match" => "*")
        @made.delete(slug)
        Tenantry.client.forget(tenant) if tenant.is_a?(Tenant)
      end

      # Removes whatever this kit has made and not removed.
      def clean_up
        @made.dup.each { |slug| attempt { remove(slug) } }
      end

      private

      def spec(slug, plan)
        { "displayName" => slug, "app" => @app, "plan" => plan, "state" => "active",
          "residency" => { "allowedRegions" => @regions }, "business" => { "synthetic" => true },
          "contacts" => { "technical" => CONTACT, "billing" => CONTACT, "incident" => CONTACT } }.merge(@spec)
      end

      def act(tenant, verb, body = {})
        slug = tenant.is_a?(Tenant) ? tenant.slug : tenant
        call(:post, "#{@root}/#{slug}:#{verb}?wait=#{WAIT}s", body, "If-Match" => "*")
        Tenantry.client.forget(tenant) if tenant.is_a?(Tenant)
      end

      def call(verb, path, body, headers)
        status, document = @http.send_json(verb, path, body, headers)
        return document if [200, 201].include?(status)

        raise Failed, "#{verb} #{path} answered #{status}: #{document['detail'] || document['status']}"
      end

      def attempt
        yield
      rescue Failed
        nil
      end
    end
  end
end
