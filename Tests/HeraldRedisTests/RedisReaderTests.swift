import Testing

@testable import HeraldRedis

@Suite struct RedisReaderTests {
    static let replies: [(String, RedisValue)] = [
        ("+OK\r\n", .status("OK")),
        ("-ERR no such thing\r\n", .error(RedisReplyError("ERR no such thing"))),
        (":-42\r\n", .integer(-42)),
        (":9223372036854775807\r\n", .integer(.max)),
        ("$-1\r\n", .null),
        ("*-1\r\n", .null),
        ("$0\r\n\r\n", .string([])),
        ("$6\r\na\r\nb\0c\r\n", .string(Array("a\r\nb\0c".utf8))),
        ("*0\r\n", .array([])),
        ("*2\r\n*0\r\n*1\r\n$-1\r\n", .array([.array([]), .array([.null])])),
        (
            "*3\r\n:1\r\n*2\r\n+a\r\n-NO b\r\n$1\r\nz\r\n",
            .array([
                .integer(1), .array([.status("a"), .error(RedisReplyError("NO b"))]), .string([122]),
            ])
        ),
        (
            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:7\r\n",
            .array([.array([.array([.array([.array([.array([.array([.integer(7)])])])])])])])
        ),
    ]

    private func feed(_ reader: borrowing RedisReader, _ text: some Sequence<UInt8>) throws {
        try Array(text).withUnsafeBytes { try reader.feed($0) }
    }

    @Test(arguments: replies)
    func `a reply is read whole`(_ text: String, _ value: RedisValue) throws {
        let reader = try RedisReader(replyBytesMax: 4096)
        try feed(reader, text.utf8)
        #expect(try reader.next() == value)
        #expect(try reader.next() == nil)
    }

    @Test func `replies are read however they are cut`() throws {
        let stream = Array(Self.replies.map(\.0).joined().utf8)
        for cut in 0...stream.count {
            let reader = try RedisReader(replyBytesMax: 4096)
            var found: [RedisValue] = []
            for piece in [stream[..<cut], stream[cut...]] {
                try feed(reader, piece)
                while let reply = try reader.next() { found.append(reply) }
            }
            #expect(found == Self.replies.map(\.1))
        }
    }

    @Test func `replies are read byte by byte`() throws {
        let reader = try RedisReader(replyBytesMax: 4096)
        var found: [RedisValue] = []
        for byte in Self.replies.map(\.0).joined().utf8 {
            try feed(reader, [byte])
            while let reply = try reader.next() { found.append(reply) }
        }
        #expect(found == Self.replies.map(\.1))
    }

    @Test func `a huge bulk string comes through whole`() throws {
        let size = 4 * 1024 * 1024
        let reader = try RedisReader(replyBytesMax: size + 16)
        try feed(reader, "$\(size)\r\n".utf8)
        let piece = [UInt8](repeating: 7, count: 64 * 1024)
        for _ in 0..<size / piece.count {
            try feed(reader, piece)
            #expect(try reader.next() == nil)
        }
        try feed(reader, "\r\n:1\r\n".utf8)
        guard case .string(let bytes) = try reader.next() else {
            Issue.record("no string")
            return
        }
        #expect(bytes == [UInt8](repeating: 7, count: size))
        #expect(try reader.next() == .integer(1))
    }

    @Test(arguments: [
        ("hello\r\n", "RESP2"),
        ("*1\r\nx\r\n", "RESP2"),
        (":12x\r\n", "RESP2"),
        ("$x\r\n", "RESP2"),
        ("$-2\r\n", "RESP2"),
        ("*-5\r\n", "RESP2"),
        ("$5\r\nabcdefg\r\n", "RESP2"),
        ("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "depth"),
        ("$2000\r\n" + String(repeating: "x", count: 2000) + "\r\n", "larger than 1000 bytes"),
        ("$99999999\r\n" + String(repeating: "x", count: 1001), "larger than 1000 bytes"),
        ("*100\r\n" + String(repeating: ":1\r\n", count: 100), "larger than 1000 bytes"),
    ])
    func `what is malformed or too large is refused`(_ text: String, _ words: String) throws {
        let reader = try RedisReader(replyBytesMax: 1000)
        let error = #expect(throws: RedisError.self) {
            try feed(reader, text.utf8)
            while try reader.next() != nil {}
        }
        #expect(error?.code == .protocolViolated)
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
        #expect(throws: RedisError.self) {
            try feed(reader, ":1\r\n".utf8)
            _ = try reader.next()
        }
    }

    @Test func `the promise of a long array takes no memory`() throws {
        let reader = try RedisReader(replyBytesMax: 4096)
        try feed(reader, "*2000000000\r\n:1\r\n".utf8)
        #expect(try reader.next() == nil)
    }

    @Test func `damaged streams are read or refused, and no more`() throws {
        let stream = Array(Self.replies.map(\.0).joined().utf8)
        var random = Dice(state: 42)
        for _ in 0..<1000 {
            var damaged = stream
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<damaged.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: damaged[index] = UInt8.random(in: 0...255, using: &random)
                case 1: damaged.remove(at: index)
                default: damaged.insert(UInt8(ascii: "9"), at: index)
                }
            }
            let reader = try RedisReader(replyBytesMax: 4096)
            do {
                for piece in [damaged[..<40], damaged[40...]] {
                    try feed(reader, piece)
                    while try reader.next() != nil {}
                }
            } catch let error as RedisError {
                #expect(error.code == .protocolViolated)
            }
        }
    }

    @Test func `bounds are of one reply and not of the stream`() throws {
        let reader = try RedisReader(replyBytesMax: 1000)
        for _ in 0..<100 {
            try feed(reader, ("$900\r\n" + String(repeating: "x", count: 900) + "\r\n").utf8)
            #expect(try reader.next() != nil)
        }
    }
}

/// Chance that is the same in every run (SplitMix64).
private struct Dice: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
