# frozen_string_literal: true

require "json"
require "net/http"
require "openssl"

# Calls of the control plane: JSON over HTTP, bounded in time and size, without redirects. Decides nothing but what
# is an answer and what is silence.
module Tenantry
  class Http
    # No answer of the three endpoints comes near this many bytes.
    BODY_MAX = 1 << 20
    # What may come right by itself; everything else is an answer.
    SILENCE = [429, 500, 502, 503, 504].freeze
    # What the control plane says when it can answer nobody: no database, too slow, too much to do.
    SHUT = %w[TEN-0029 TEN-0031 TEN-0040].freeze
    FAILURES = [SystemCallError, SocketError, IOError, Timeout::Error, OpenSSL::SSL::SSLError, Net::ProtocolError,
                Net::HTTPBadResponse, JSON::ParserError].freeze
    private_constant :SILENCE, :SHUT, :FAILURES

    def initialize(configuration)
      @configuration = configuration
    end

    # Status and document of an answer. Raises ControlPlaneUnavailable for silence, ControlPlaneRefused for 401 and 403.
    def get(path, parameters = {})
      query = parameters.empty? ? "" : "?#{URI.encode_www_form(parameters)}"
      call(Net::HTTP::Get.new(target(path) + query))
    end

    # The same with a document. Changes carry a key where they make something.
    def send_json(verb, path, body, headers = {})
      request = Net::HTTP.const_get(verb.to_s.capitalize).new(target(path))
      request.body = JSON.generate(body) if body
      request["Content-Type"] = "application/json" if body
      headers.each { |name, value| request[name] = value }
      call(request)
    end

    private

    def target(path)
      "#{@configuration.url.path.delete_suffix('/')}#{path}"
    end

    def call(request)
      @configuration.check!
      request["Authorization"] = "Bearer #{@configuration.token}"
      request["Accept"] = "application/json"
      request["User-Agent"] = "tenantry-ruby/#{VERSION}"
      response, body = exchange(request)
      judge(response.code.to_i, body.empty? ? {} : JSON.parse(body), response)
    rescue *FAILURES => error
      raise ControlPlaneUnavailable, "the control plane cannot be reached (#{error.class})"
    end

    def exchange(request)
      url = @configuration.url
      # Without the proxy of the environment: the token goes to nobody else.
      http = Net::HTTP.new(url.host, url.port, nil)
      http.open_timeout = @configuration.open_timeout
      http.read_timeout = @configuration.read_timeout
      http.write_timeout = @configuration.read_timeout
      http.max_retries = 0
      if url.scheme == "https"
        http.use_ssl = true
        http.verify_mode = OpenSSL::SSL::VERIFY_PEER
        http.ca_file = @configuration.ca_file if @configuration.ca_file
      end
      http.start { http.request(request) { |response| return [response, bounded(response)] } }
    end

    def bounded(response)
      body = +""
      response.read_body do |part|
        body << part
        raise IOError, "the answer is too long" if body.bytesize > BODY_MAX
      end
      body
    end

    def judge(status, document, response)
      if SILENCE.include?(status)
        raise ControlPlaneUnavailable.new("the control plane answered #{status}",
                                          retry_after: Integer(response["Retry-After"] || 2, exception: false) || 2,
                                          answer: answer?(status, document))
      end
      if [401, 403].include?(status)
        raise ControlPlaneRefused, "the control plane refused the token (#{status}); check TENANTRY_TOKEN and the " \
                                   "environment `#{@configuration.environment}`"
      end
      raise IOError, "not a document" unless document.is_a?(Hash)

      [status, document]
    end

    # Whether it is said of this question only: by a rate of one tenant's plan, or with a code of the control plane's
    # own.
    def answer?(status, document)
      code = document.is_a?(Hash) ? document["code"].to_s : ""
      status == 429 || (code.start_with?("TEN-") && !SHUT.include?(code))
    end
  end
end
