# frozen_string_literal: true

require "json"

module Tenantry
  # Refusals as problem documents (RFC 9457), in the form of a Rack answer.
  module Problem
    module_function

    # Status, headers, body. The detail of a defect stays in the log.
    def answer(error)
      status = error.class.status
      document = { "type" => "about:blank", "title" => error.class.title, "status" => status,
                   "code" => error.class.code }
      document["detail"] = error.message unless status == 500 || error.message == error.class.title
      body = JSON.generate(document)
      headers = { "content-type" => "application/problem+json", "cache-control" => "no-store",
                  "content-length" => body.bytesize.to_s }
      headers["retry-after"] = error.retry_after.to_i.to_s if error.retry_after
      [status, headers, [body]]
    end
  end
end
