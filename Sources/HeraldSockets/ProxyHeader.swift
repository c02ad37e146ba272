/// The PROXY protocol's header of version 2 (haproxy.org, proxy-protocol.txt, 2.2); decisions only.
enum ProxyHeader {
    /// What the bytes so far are.
    enum Outcome: Equatable {
        /// The beginning of a header that has this many bytes, or more.
        case needs(Int)
        /// A whole header; nil when the proxy speaks for itself (a health check) or does not know.
        case whole(PeerAddress?)
        /// No such header.
        case malformed
    }

    /// Address and the additions that proxies make (names, certificates) stay far below.
    static let bytesMax = 16 + 2048

    private static let fixedBytes = 16
    private static let signature: [UInt8] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ]

    static func parse(_ bytes: [UInt8]) -> Outcome {
        guard bytes.prefix(12).elementsEqual(signature.prefix(bytes.count)) else { return .malformed }
        guard bytes.count >= fixedBytes else { return .needs(fixedBytes) }
        let whole = fixedBytes + (Int(bytes[14]) << 8 | Int(bytes[15]))
        guard bytes[12] == 0x20 || bytes[12] == 0x21, whole <= bytesMax else { return .malformed }
        guard bytes.count >= whole else { return .needs(whole) }
        guard bytes[12] == 0x21 else { return .whole(nil) }
        switch bytes[13] {
        case 0x11: return client(bytes, whole, addressBytes: 4)
        case 0x21: return client(bytes, whole, addressBytes: 16)
        // Not known, datagrams, local sockets: nothing in it that is an address of a TCP client.
        case 0x00, 0x12, 0x22, 0x31, 0x32: return .whole(nil)
        default: return .malformed
        }
    }

    /// Source, destination, source's port, destination's port.
    private static func client(_ bytes: [UInt8], _ whole: Int, addressBytes: Int) -> Outcome {
        let port = fixedBytes + 2 * addressBytes
        guard whole >= port + 4, let address = IPAddress(bytes: bytes[fixedBytes..<fixedBytes + addressBytes])
        else {
            return .malformed
        }
        let number = Int(bytes[port]) << 8 | Int(bytes[port + 1])
        return .whole(PeerAddress(host: address.description, port: number))
    }
}
