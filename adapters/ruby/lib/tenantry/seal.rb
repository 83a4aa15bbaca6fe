# frozen_string_literal: true

require "openssl"

# The arithmetic of the seal, the application's half of `seal.arm` and `seal.enter`. Pure: bytes in, bytes out. The
# key never travels; a token holds on one backend, for one tenant, at one generation.
module Tenantry
  module Seal
    ARM = "tenantry seal arm 1"
    CAPABILITY = "tenantry seal capability 1"
    ENTER = "tenantry seal enter 1"
    private_constant :ARM, :CAPABILITY, :ENTER

    # Which server process a connection has: process id, and start in microseconds, as `seal.hello` tells them.
    Backend = Struct.new(:pid, :started) do
      def bytes
        [pid, started].pack("l>q>")
      end
    end

    module_function

    # What `seal.arm` asks for: 32 bytes.
    def proof(key, backend)
      mac(key, ARM, backend)
    end

    # The secret that an armed backend shares with us: 16 bytes.
    def capability(key, backend)
      mac(key, CAPABILITY, backend).byteslice(0, 16)
    end

    # What lets one transaction of a tenant in: 32 bytes.
    def token(capability, uuid, generation)
      sha256(ENTER, capability, uuid_bytes(uuid), [generation].pack("q>"))
    end

    # The 16 bytes of a UUID.
    def uuid_bytes(uuid)
      [uuid.delete("-")].pack("H32")
    end

    # Two nested hashes, the key first in both.
    def mac(key, purpose, backend)
      sha256(key, sha256(key, purpose, backend.bytes))
    end
    private_class_method :mac

    def sha256(*parts)
      OpenSSL::Digest::SHA256.digest(parts.map(&:b).join)
    end
    private_class_method :sha256
  end
end
