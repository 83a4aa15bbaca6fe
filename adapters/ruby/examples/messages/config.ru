# frozen_string_literal: true

# A small product on the example app `chat`: messages of one channel, for tenants of every level.
#
#   tenantry dev                         # prints URL and token file
#   export TENANTRY_URL=… TENANTRY_TOKEN_FILE=…
#   puma examples/messages/config.ru
#   curl -d body=hello localhost:9292/t/acme/messages
#   curl localhost:9292/t/acme/messages

require "json"
require "tenantry/active_record"

Tenantry.configure do |settings|
  settings.sources = %i[path host]
  settings.base_domains = %w[localhost]
end
Tenantry::ActiveRecord.install

class Channel < ActiveRecord::Base
  include Tenantry::TenantScoped
  self.primary_key = "id"
end

class Message < ActiveRecord::Base
  include Tenantry::TenantScoped
  self.primary_key = "id"
  belongs_to :channel
  validates :body, length: { in: 1..40_000 }
end

# Every request is one transaction of its tenant.
class Messages
  def call(env)
    request = Rack::Request.new(env)
    return answer(404, error: "there is only /messages") unless request.path_info == "/messages"

    Tenantry.transaction { request.post? ? say(request.params["body"].to_s) : list }
  rescue ActiveRecord::RecordInvalid => error
    answer(422, error: error.message)
  end

  private

  def say(body)
    message = Message.create!(channel: Channel.find_or_create_by!(name: "general"), body: body)
    answer(201, id: message.id)
  end

  def list
    latest = Message.order(id: :desc).limit(50)
    answer(200, tenant: Tenantry::Current.tenant.slug, messages: latest.map { |message| message.slice(:id, :body) })
  end

  def answer(status, document)
    [status, { "content-type" => "application/json" }, [JSON.generate(document)]]
  end
end

use Tenantry::Middleware
run Messages.new
