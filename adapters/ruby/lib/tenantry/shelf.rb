# frozen_string_literal: true

# Connections that nobody uses at the moment, by login. A tenant gets the connection that it had last, if there is
# one: that saves the reset.
module Tenantry
  class Shelf
    def initialize(most:, idle_timeout:)
      @most = most
      @idle_timeout = idle_timeout
      @mutex = Mutex.new
      @idle = []
    end

    # Takes a connection of the login; nil without one.
    def take(login, uuid)
      stale, found = @mutex.synchronize do
        index = @idle.rindex { |kept, connection| kept == login && connection.served == uuid } ||
                @idle.index { |kept, _| kept == login }
        entry = @idle.delete_at(index) if index
        [expired, entry&.last]
      end
      stale.each(&:abandon)
      found
    end

    # Puts a sound connection aside. `in_use` others exist; beyond the bound the longest unused one is closed.
    def put(login, connection, in_use: 0)
      connection.idle_since = now
      stale = @mutex.synchronize do
        @idle << [login, connection]
        expired + surplus(in_use)
      end
      stale.each(&:abandon)
    end

    # Makes room for a connection that is about to be opened.
    def make_room(in_use)
      @mutex.synchronize { surplus(in_use) }.each(&:abandon)
    end

    # Closes what is kept for a login: its password changed, or its place is gone.
    def forget(login)
      gone = @mutex.synchronize do
        fitting, @idle = @idle.partition { |kept, _| kept == login }
        fitting.map(&:last)
      end
      gone.each(&:abandon)
    end

    def clear
      gone = @mutex.synchronize { @idle.slice!(0..) }
      gone.each { |_, connection| connection.abandon }
    end

    def size
      @mutex.synchronize { @idle.size }
    end

    private

    def expired
      limit = now - @idle_timeout
      old, @idle = @idle.partition { |_, connection| connection.idle_since < limit }
      old.map(&:last)
    end

    def surplus(in_use)
      count = @idle.size + in_use - @most
      count.positive? ? @idle.shift(count).map(&:last) : []
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
