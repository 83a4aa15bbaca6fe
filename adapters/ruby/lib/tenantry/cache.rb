# frozen_string_literal: true

# Answers of the control plane, bounded in number and in age.
#
# An answer is used for as long as the control plane allowed. Then it is asked again, by one thread per key while the
# others wait for what comes of it, be it an answer or an error. An old answer is used only while the control plane
# cannot be reached, and never beyond `stale_max`: the database has the last word, so that a stale route costs an
# attempt and not a leak. What the control plane says of one key tells nothing about the others.
module Tenantry
  class Cache
    Entry = Struct.new(:value, :fresh_until, :stale_until)
    # After a failure the control plane is left alone for this many seconds, where an old answer will do.
    PAUSE = 1.0
    # A question on its way; those who wait for it see what came of it.
    Flight = Struct.new(:done, :error)
    private_constant :Entry, :PAUSE, :Flight

    def initialize(size:, stale_max:, clock: -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) })
      @size = size
      @stale_max = stale_max
      @clock = clock
      @mutex = Mutex.new
      @answered = ConditionVariable.new
      @entries = {}
      @asking = {}
      @paused_until = nil
    end

    # The kept answer, or what the block gives: `[value, max_age in seconds]`. The block raises
    # ControlPlaneUnavailable when there is nobody to ask. Interrupts are let in while somebody waits, not between
    # claiming a key and giving it back.
    def fetch(key, &ask)
      Thread.handle_interrupt(Object => :never) do
        entry, claimed = @mutex.synchronize { known_or_claimed(key) }
        claimed ? asked(key, entry, &ask) : entry.value
      end
    end

    # The kept answer while it is fresh; nil otherwise.
    def peek(key)
      @mutex.synchronize do
        entry = @entries[key]
        entry.value if entry && now < entry.fresh_until
      end
    end

    # Keeps an answer that was not asked for through this cache.
    def put(key, value, max_age)
      @mutex.synchronize { keep(key, value, max_age) }
    end

    # Throws one answer away, so that not even a dead control plane brings it back.
    def forget(key)
      @mutex.synchronize { @entries.delete(key) }
    end

    # Has an answer asked for again, if it is still this very one. It stays for as long as nobody can be asked.
    def doubt(key, value)
      @mutex.synchronize do
        entry = @entries[key]
        @entries[key] = Entry.new(value, now, entry.stale_until) if entry && entry.value.equal?(value)
      end
    end

    # How many answers are kept.
    def size
      @mutex.synchronize { @entries.size }
    end

    def clear
      @mutex.synchronize { @entries.clear }
    end

    private

    # An entry that will do; or an old one, perhaps none, and the duty to ask.
    def known_or_claimed(key)
      loop do
        entry = touch(key)
        return entry if entry && (now < entry.fresh_until || (paused? && now < entry.stale_until))

        flight = @asking[key]
        unless flight
          @asking[key] = Flight.new(false, nil)
          return [entry, true]
        end
        Thread.handle_interrupt(Object => :on_blocking) { @answered.wait(@mutex) } until flight.done
        told(flight.error, entry) if flight.error
      end
    end

    # What came of another thread's question, for those who waited for it. With an old answer they look once more.
    def told(error, entry)
      return if error.is_a?(ControlPlaneUnavailable) && entry && now < entry.stale_until

      raise error.class.new(error.message, retry_after: error.retry_after)
    end

    def asked(key, old, &block)
      value, max_age = Thread.handle_interrupt(Object => :on_blocking, &block)
      @mutex.synchronize do
        @paused_until = nil
        keep(key, value, max_age)
      end
      value
    rescue Error => error
      @mutex.synchronize do
        @asking[key].error = error
        silent(key, error)
      end
      raise unless error.is_a?(ControlPlaneUnavailable) && old && now < old.stale_until

      old.value
    ensure
      @mutex.synchronize do
        @asking.delete(key).done = true
        @answered.broadcast
      end
    end

    # One key is left alone for a while where the control plane said "not now" to it, and all where it said nothing.
    def silent(key, error)
      return unless error.is_a?(ControlPlaneUnavailable)
      return @paused_until = now + PAUSE unless error.answer?

      @paused_until = nil
      entry = @entries[key]
      @entries[key] = Entry.new(entry.value, [now + PAUSE, entry.stale_until].min, entry.stale_until) if entry
    end

    def paused?
      @paused_until && now < @paused_until
    end

    def keep(key, value, max_age)
      @entries.delete(key)
      @entries[key] = Entry.new(value, now + max_age, now + max_age + @stale_max)
      @entries.shift while @entries.size > @size
    end

    # A hash keeps the order of insertion, so the first is the one that was used longest ago.
    def touch(key)
      entry = @entries.delete(key)
      @entries[key] = entry if entry
      entry
    end

    def now
      @clock.call
    end
  end
end
