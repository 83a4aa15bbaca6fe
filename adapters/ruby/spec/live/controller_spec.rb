# frozen_string_literal: true

require "action_controller"
require "puma"
require "puma/events"
require "puma/server"
require_relative "../support/chat"

RSpec.describe Tenantry::Controller, :live, backend: :active_record do
  let(:tenant) { World.pair(:schema).first }

  it "works in anything that has before_action, and without it" do
    controller = Class.new do
      class << self
        def before_action(name)
          (@before ||= []) << name
        end

        attr_reader :before
      end
      include Tenantry::Controller
      before_action :enforce_tenant_scope

      def call
        self.class.before.each { |name| send(name) }
        current_tenant.slug
      end
    end
    expect { controller.new.call }.to raise_tenant_scope_missing
    expect(Tenantry.with_tenant(tenant) { controller.new.call }).to eq(tenant.slug)
  end

  describe "in Action Controller, on Puma" do
    let(:channels) do
      Class.new(ActionController::Base) do
        include Tenantry::Controller
        before_action :enforce_tenant_scope
        around_action :within_tenant_transaction, except: :unscoped

        def self.name
          "ChannelsController"
        end

        def index
          render json: { tenant: current_tenant.slug, names: Channel.order(:name).pluck(:name) }
        end

        def create
          Channel.create!(name: params[:name])
          raise Tenantry::PoolExhausted if params[:fail]

          head :created
        end

        def unscoped
          render json: Channel.count
        rescue Tenantry::TenantScopeMissing => error
          render json: error.class.name
        end
      end
    end
    let(:app) do
      controller = channels
      inner = lambda do |env|
        action = { "/channels" => env["REQUEST_METHOD"] == "POST" ? :create : :index, "/unscoped" => :unscoped }
        controller.action(action.fetch(env["PATH_INFO"])).call(env)
      end
      Tenantry::Middleware.new(inner)
    end
    # A real server with threads, which serves until the example ends.
    around do |example|
      stack = app
      server = Puma::Server.new(stack, Puma::Events.new(StringIO.new, StringIO.new), { min_threads: 4, max_threads: 8 })
      @port = server.add_tcp_listener("127.0.0.1", 0).addr[1]
      server.run
      example.run
    ensure
      server&.stop(true)
    end

    def call(verb, path, host: "example.test", body: nil)
      request = Net::HTTP.const_get(verb.to_s.capitalize).new(path, "Host" => host)
      request.body = body if body
      Net::HTTP.start("127.0.0.1", @port, nil) { |http| http.request(request) }
    end

    it "serves each tenant its own, in many threads at once" do
      tenants = World::PLANS.keys.flat_map { |level| World.pair(level) }
      names = tenants.to_h { |known| [known.slug, "p-#{SecureRandom.hex(6)}"] }
      names.each { |slug, name| expect(call(:post, "/t/#{slug}/channels?name=#{name}").code).to eq("201") }
      answers = Array.new(8) do |number|
        Thread.new do
          Array.new(12) do |turn|
            slug = names.keys[(number + turn) % names.size]
            [slug, JSON.parse(call(:get, "/channels", host: "#{slug}.example.test").body)]
          end
        end
      end.flat_map(&:value)
      expect(answers.size).to eq(96)
      answers.each do |slug, answer|
        expect(answer["tenant"]).to eq(slug)
        expect(answer["names"] & names.values).to eq([names[slug]])
      end
    end

    it "answers refusals as problems, and undoes the action" do
      name = "p-#{SecureRandom.hex(6)}"
      response = call(:post, "/t/#{tenant.slug}/channels?name=#{name}&fail=1")
      expect([response.code, response["content-type"], response["retry-after"]])
        .to match(["503", start_with("application/problem+json"), "1"])
      expect(JSON.parse(response.body)["code"]).to eq("PoolExhausted")
      expect(as_tenant(tenant) { Channel.where(name: name).count }).to eq(0)
      expect(call(:get, "/t/nobody-has-this/channels").code).to eq("404")
    end

    it "refuses a query outside of the action's transaction" do
      expect(call(:get, "/t/#{tenant.slug}/unscoped").body).to include("TenantScopeMissing")
    end
  end
end
