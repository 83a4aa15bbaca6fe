# frozen_string_literal: true

# The example app `chat` as Active Record models: the same code for tenants of every level.
class ApplicationRecord < ActiveRecord::Base
  self.abstract_class = true
end

class Country < ApplicationRecord
  self.primary_key = "code"
end

class User < ApplicationRecord
  include Tenantry::TenantScoped
  self.primary_key = "id"
end

class Channel < ApplicationRecord
  include Tenantry::TenantScoped
  self.primary_key = "id"
  has_many :messages, dependent: :destroy
end

class Message < ApplicationRecord
  include Tenantry::TenantScoped
  self.primary_key = "id"
  belongs_to :channel
  validates :body, presence: true

  # What was counted after the last commit.
  cattr_accessor :counted
  after_commit { self.class.counted = Tenantry.transaction { self.class.count } }
end
