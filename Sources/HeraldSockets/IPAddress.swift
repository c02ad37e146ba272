import Glibc

/// A numeric address, IPv4 and IPv6 in one form: 128 bits, IPv4 mapped to `::ffff:0:0/96`.
struct IPAddress: Equatable, CustomStringConvertible {
    let bits: UInt128

    private static let v4Prefix: UInt128 = 0xFFFF << 32

    /// nil when it is no numeric address.
    init?(_ text: some StringProtocol) {
        let text = String(text)
        var v4 = in_addr()
        var v6 = in6_addr()
        if inet_pton(AF_INET, text, &v4) == 1 {
            bits = Self.v4Prefix | UInt128(UInt32(bigEndian: v4.s_addr))
        } else if inet_pton(AF_INET6, text, &v6) == 1 {
            bits = withUnsafeBytes(of: v6) { UInt128(bigEndian: $0.loadUnaligned(as: UInt128.self)) }
        } else {
            return nil
        }
    }

    /// Big-endian, 4 or 16 bytes.
    init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        let value = bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
        bits = bytes.count == 4 ? Self.v4Prefix | value : value
    }

    /// An element of X-Forwarded-For: some proxies add a port, then in brackets when it is IPv6.
    init?(hop: Substring) {
        var text = hop.drop { $0 == " " || $0 == "\t" }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        if text.first == "[" {
            self.init(text.dropFirst().prefix { $0 != "]" })
        } else if text.filter({ $0 == ":" }).count == 1 {
            self.init(text.prefix { $0 != ":" })
        } else {
            self.init(text)
        }
    }

    var isV4: Bool { bits >> 32 == 0xFFFF }

    var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        if isV4 {
            var address = in_addr(s_addr: UInt32(truncatingIfNeeded: bits).bigEndian)
            inet_ntop(AF_INET, &address, &text, socklen_t(text.count))
        } else {
            var address = bits.bigEndian
            inet_ntop(AF_INET6, &address, &text, socklen_t(text.count))
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// All addresses that begin with the same bits.
struct IPNetwork {
    private let address: IPAddress
    /// Of 128.
    private let prefixBits: Int

    /// `10.0.0.0/8`, `fd00::/8`, or a single address. nil when it is neither.
    init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = IPAddress(parts[0]) else { return nil }
        self.address = address
        let isV4 = !parts[0].contains(":")
        let all = isV4 ? 32 : 128
        guard parts.count == 2 else {
            prefixBits = 128
            return
        }
        guard let bits = Int(parts[1]), (0...all).contains(bits), parts[1].allSatisfy(\.isNumber) else {
            return nil
        }
        prefixBits = bits + (128 - all)
    }

    func contains(_ other: IPAddress) -> Bool {
        // A shift by all 128 bits leaves nothing, so the whole range is a network too.
        (address.bits ^ other.bits) >> UInt128(128 - prefixBits) == 0
    }
}
