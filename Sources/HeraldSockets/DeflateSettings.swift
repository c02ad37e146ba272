/// How messages are compressed for clients that ask for it (permessage-deflate, RFC 7692).
///
/// What it costs in memory:
///
/// | What | Bytes |
/// |---|---|
/// | a connection that agreed on it, neither side taking over its context | 0 |
/// | a loop: one inflater, and one deflater for each window size its clients agreed on | 40 KiB + 2^(bits + 2) + 128 KiB each |
/// | a connection whose client takes over its context, from its first compressed message on | 7 KiB + 2^bits |
/// | a connection on which the server takes over its own, from its first one on | 2^(bits + 2) + 128 KiB |
///
/// Without takeover a message is compressed once, and the same bytes go to every socket with the same window. With
/// it every socket has compressed bytes of its own, so it is off unless asked for.
public struct DeflateSettings: Sendable, Hashable {
    /// zlib's level: 1 is fastest, 9 smallest. Measured with JSON, on one core: 1 KiB becomes 213 bytes in 3.5 µs at
    /// level 1, and 211 in 4.5 µs at level 6; 4 KiB become 591 in 6 µs, and 579 in 11.
    public var level = 6
    /// Payloads below this many bytes go as they are. 256 bytes of JSON become 113 in 3.3 µs; less than that gains
    /// little, and everything below 1,400 fits one packet anyhow.
    public var payloadBytesMin = 256
    /// What the messages of one read of a socket (`SocketLimits.readBufferBytes`) may inflate to together, or one
    /// message alone if more is allowed to it; beyond: closed with 1008. 4 MiB from 64 KiB is what no honest client
    /// sends, and keeps the loop's other sockets waiting for some 5 ms. The limit of each message stays.
    public var inflatedBytesPerReadMax = 4 << 20
    /// The largest window for what we send, as the power of two: 9 to 15. A client may ask for less.
    public var serverWindowBitsMax = 15
    /// The largest window for what a client sends, where it lets us choose: 9 to 15.
    public var clientWindowBitsMax = 15
    /// Whether our compressor remembers earlier messages of a connection, unless the client declines. It then sends
    /// every frame that it compresses, so nothing may be taken out of a queue but with the whole connection.
    public var serverTakesOverContext = false
    /// Whether a client's compressor may remember its earlier messages.
    public var clientTakesOverContext = false

    /// The defaults.
    public init() {}

    /// What is wrong with the values; nil when nothing is.
    var fault: String? {
        guard (1...9).contains(level) else { return "deflate.level: 1 to 9, not \(level)" }
        guard inflatedBytesPerReadMax > 0 else { return "deflate.inflatedBytesPerReadMax: above 0" }
        guard payloadBytesMin >= 0 else { return "deflate.payloadBytesMin: not below 0" }
        for (name, bits) in [("server", serverWindowBitsMax), ("client", clientWindowBitsMax)] {
            guard (9...15).contains(bits) else { return "deflate.\(name)WindowBitsMax: 9 to 15, not \(bits)" }
        }
        return nil
    }
}
