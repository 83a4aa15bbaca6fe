# frozen_string_literal: true

require "socket"

# Stands between a client and a server, and can be cut: the server is then gone, or silent, for that client only.
class Relay
  attr_reader :port
  # :open, :refuse or :silent.
  attr_accessor :mode
  # Connections that were taken since the start.
  attr_reader :count

  def initialize(host, port)
    @target = [host, port]
    @mode = :open
    @count = 0
    @server = TCPServer.new("127.0.0.1", 0)
    @port = @server.addr[1]
    @silent = []
    @thread = Thread.new { accept }
  end

  def stop
    @thread.kill
    @server.close
  end

  private

  def accept
    loop do
      client = @server.accept
      @count += 1
      case mode
      when :refuse then client.close
      when :silent then @silent << client
      else Thread.new { relay(client) }
      end
    end
  end

  def relay(client)
    server = TCPSocket.new(*@target)
    back = Thread.new { IO.copy_stream(server, client) }
    # It ends with the sockets.
    back.report_on_exception = false
    IO.copy_stream(client, server)
    server.close_write
    back.join
  rescue SystemCallError, IOError
    nil
  ensure
    [client, server].compact.each(&:close)
  end
end
