# frozen_string_literal: true

# A sample project's own suite, run by kit_spec.rb in a process of its own. Two lines of set-up: the pair of tenants,
# and the app's models.
require_relative "../../spec_helper"
require_relative "../../support/chat"

RSpec.configure { |config| config.before(:suite) { World.prepare(:active_record) } }
Tenantry::RSpec.pair { World.pair(:shared) }

# What the runner wants broken.
breakage = ENV["SAMPLE_BREAK"]
if breakage == "missing"
  class Reaction < ApplicationRecord
    include Tenantry::TenantScoped
    self.primary_key = "id"
  end
end

# Finds its rows past the adapter, as superuser.
if breakage == "leak"
  class Channel
    def self.find_by(conditions)
      World.admin(Tenantry::Current.tenant) do |admin|
        admin.exec_params("SELECT id FROM app.channels WHERE id = $1", [conditions.fetch("id")]).first
      end
    end
  end
end

[User, Channel].each do |model|
  RSpec.describe model do
    it_behaves_like "enforces tenant scope" do
      let(:make) do
        lambda do
          word = "s#{SecureRandom.hex(6)}"
          model == User ? User.create!(email: "#{word}@x.test", display_name: word) : Channel.create!(name: word)
        end
      end
    end
  end
end

RSpec.describe Message do
  Message.send(:default_scope) { where.not(body: nil) } if breakage == "default_scope"

  it_behaves_like "enforces tenant scope" do
    let(:make) { -> { Message.create!(body: "hi", channel: Channel.create!(name: "s#{SecureRandom.hex(6)}")) } }
  end
end

RSpec.describe "Tenant scope" do
  exempt = breakage == "reason" ? { Country: "" } : { Country: "reference table" }
  exempt[:Ghost] = "was removed" if breakage == "ghost"
  it_behaves_like "covers every model", exempt
end
