/// A numeric address, and whether it is one of the public internet.
///
/// A webhook's address is set by an operator, yet its name is resolved by whoever owns the name: without this, a
/// name that comes to point at 169.254.169.254 or at an inner service has Herald ask it ("server-side request
/// forgery"). So every address is judged after it was resolved, and the connection goes to that very address.
///
/// What may be reached is listed for IPv6 (2000::/3 is all that was ever given out) and what may not for IPv4;
/// both are IANA's registries of special-purpose addresses (RFC 6890). Forms that carry an IPv4 address are judged
/// by it.
struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// 4 or 16, in network order.
    let bytes: [UInt8]

    /// Nil unless there are 4 or 16.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    /// What kind of address it is, if it is none of the public internet: "loopback", "private"; else nil.
    var reservation: String? {
        if bytes.count == 4 { return Self.reservation(ofIPv4: bytes) }
        if let inner = embeddedIPv4 { return Self.reservation(ofIPv4: inner) }
        return Self.match(Self.reservedIPv6, bytes) ?? (bytes[0] & 0xE0 == 0x20 ? nil : "reserved")
    }

    private static func reservation(ofIPv4 bytes: [UInt8]) -> String? { match(reservedIPv4, bytes) }

    /// The IPv4 address within a mapped (::ffff:0:0/96), translated (64:ff9b::/96, NAT64) or tunnelled (2002::/16,
    /// 6to4) one.
    private var embeddedIPv4: [UInt8]? {
        let zeros10 = bytes[..<10].allSatisfy { $0 == 0 }
        if zeros10, bytes[10] == 0xFF, bytes[11] == 0xFF { return Array(bytes[12...]) }
        if bytes.starts(with: [0, 0x64, 0xFF, 0x9B]), bytes[4..<12].allSatisfy({ $0 == 0 }) {
            return Array(bytes[12...])
        }
        if bytes.starts(with: [0x20, 0x02]) { return Array(bytes[2..<6]) }
        return nil
    }

    var description: String {
        if bytes.count == 4 { return bytes.map { String($0) }.joined(separator: ".") }
        return stride(from: 0, to: 16, by: 2).map { index in
            String(UInt16(bytes[index]) << 8 | UInt16(bytes[index + 1]), radix: 16)
        }.joined(separator: ":")
    }

    private struct Block {
        var prefix: [UInt8]
        var bits: Int
        var name: String

        init(_ prefix: [UInt8], _ bits: Int, _ name: String) {
            self.prefix = prefix
            self.bits = bits
            self.name = name
        }

        func contains(_ bytes: [UInt8]) -> Bool {
            for (index, byte) in prefix.enumerated() {
                let left = bits - index * 8
                guard left > 0 else { return true }
                let mask: UInt8 = left >= 8 ? 0xFF : ~(0xFF >> UInt8(left))
                guard bytes[index] & mask == byte & mask else { return false }
            }
            return true
        }
    }

    private static func match(_ blocks: [Block], _ bytes: [UInt8]) -> String? {
        blocks.first { $0.contains(bytes) }?.name
    }

    private static let reservedIPv4 = [
        Block([0], 8, "unspecified"), Block([10], 8, "private"), Block([100, 64], 10, "private"),
        Block([127], 8, "loopback"), Block([169, 254], 16, "link-local"), Block([172, 16], 12, "private"),
        Block([192, 0, 0], 24, "reserved"), Block([192, 0, 2], 24, "reserved"),
        Block([192, 88, 99], 24, "reserved"), Block([192, 168], 16, "private"),
        Block([198, 18], 15, "private"), Block([198, 51, 100], 24, "reserved"),
        Block([203, 0, 113], 24, "reserved"), Block([224], 4, "multicast"),
        Block([255, 255, 255, 255], 32, "broadcast"), Block([240], 4, "reserved"),
    ]

    /// The IPv4-compatible addresses (::/96) are beyond 2000::/3 too, and named for the two that people meet.
    private static let reservedIPv6 = [
        Block([UInt8](repeating: 0, count: 16), 128, "unspecified"),
        Block([UInt8](repeating: 0, count: 15) + [1], 128, "loopback"), Block([0xFC], 7, "unique-local"),
        Block([0xFE, 0x80], 10, "link-local"), Block([0xFF], 8, "multicast"),
        // Teredo hides an IPv4 address; benchmarking, ORCHID, documentation.
        Block([0x20, 0x01, 0, 0], 32, "reserved"), Block([0x20, 0x01, 0, 2, 0, 0], 48, "reserved"),
        Block([0x20, 0x01, 0, 0x10], 28, "reserved"), Block([0x20, 0x01, 0, 0x20], 28, "reserved"),
        Block([0x20, 0x01, 0x0D, 0xB8], 32, "reserved"), Block([0x3F, 0xFF, 0], 20, "reserved"),
    ]
}
