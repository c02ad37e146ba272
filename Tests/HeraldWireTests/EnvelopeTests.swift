import Foundation
import HeraldCore
import HeraldWire
import Testing

struct EnvelopeTests {
    @Test func `an envelope is read back as it is written`() throws {
        let envelope = try sample()
        #expect(try Envelope(wire: envelope.encoded()) == envelope)
        #expect(try Envelope(wire: Envelope(sender: "").encoded()) == Envelope(sender: ""))
    }

    @Test(arguments: [0, 1, 126, 127, 128, 129, 16_383, 16_384, 300_000])
    func `a payload of any size keeps its length`(count: Int) throws {
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        let delivery = Delivery(
            push: try PushID("p"),
            message: Message(payload: .binary(payload)),
            targets: [.everyone]
        )
        let envelope = Envelope(sender: "s", deliveries: [delivery, delivery])
        #expect(try Envelope(wire: envelope.encoded()) == envelope)
    }

    @Test func `an envelope cut anywhere is refused or is shorter, and never crashes`() throws {
        let envelope = try sample()
        let bytes = envelope.encoded()
        for count in 0..<bytes.count {
            let cut = try? Envelope(wire: Array(bytes[..<count]))
            #expect(cut != envelope, "cut at \(count)")
        }
    }

    @Test func `any single wrong byte is refused or understood, and never crashes`() throws {
        let bytes = try sample().encoded()
        for index in bytes.indices {
            for flip in [UInt8(0x01), 0x80, 0xFF] {
                var broken = bytes
                broken[index] ^= flip
                _ = try? Envelope(wire: broken)
            }
        }
    }

    @Test(arguments: [
        [0x12, 0x05, 0x01], [0x0B], [0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        [0x0A, 0x01, 0xFF],
        [0x12, 0x00], [0x1A, 0x00], [0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
    ])
    func `what is no envelope is refused`(bytes: [UInt8]) {
        #expect(throws: WireError.self) { try Envelope(wire: bytes) }
    }

    @Test func `a place is read with its target, also behind a target of a kind that is not known`() throws {
        let place = InboxPosition(epoch: 7, offset: 300)
        let delivery = Delivery(
            push: try PushID("p"),
            message: Message(),
            targets: [.user(try UserID("a"))],
            positions: [place]
        )
        let bytes = Envelope(sender: "", deliveries: [delivery]).encoded()
        #expect(try Envelope(wire: bytes).deliveries == [delivery])
        // sender, tag and length of the delivery, its id; then a target with only a field 9 and a place.
        let unknown: [UInt8] = [0x32, 0x06, 0x48, 0x01, 0x28, 0x09, 0x30, 0x09]
        let later = Array(bytes[..<2]) + [0x12, bytes[3] + 8] + bytes[4..<7] + unknown + bytes[7...]
        #expect(try Envelope(wire: later).deliveries == [delivery])
        #expect(delivery.position(at: 0) == place)
        #expect(delivery.position(at: 1) == nil)
    }

    @Test func `fields of a later version are passed over`() throws {
        let later: [UInt8] = [
            0x98, 0x06, 0x07, 0xA2, 0x06, 0x01, 0x00, 0xA9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0xB5, 0x06, 1, 2, 3,
            4,
        ]
        let envelope = try sample()
        #expect(try Envelope(wire: envelope.encoded() + later) == envelope)
    }

    @Test func `a class of a later version is the normal one, and what has no policy writes none`() throws {
        let delivery = Delivery(push: try PushID("p"), message: Message(), targets: [])
        let bytes = Envelope(sender: "", deliveries: [delivery]).encoded()
        #expect(bytes == [0x0A, 0x00, 0x12, 0x03, 0x0A, 0x01, 0x70])
        for (number, isDroppable) in [(UInt8(0), false), (1, true), (2, false)] {
            let later = Array(bytes[..<3]) + [0x05] + bytes[4...] + [0x50, number]
            let policy = try Envelope(wire: later).deliveries.first?.queuePolicy
            #expect(policy == QueuePolicy(isDroppable: isDroppable))
        }
    }

    /// protoc is the judge of whether envelope.proto and the code say the same.
    @Test(.timeLimit(.minutes(1))) func `protoc reads what is written, and what protoc writes is read`()
        throws
    {
        let envelope = try sample()
        let text = try protoc("--decode=herald.Envelope", input: envelope.encoded())
        let shown = String(decoding: text, as: UTF8.self)
        for line in [
            #"sender: "logic-1""#, #"event: "order.shipped""#, "op: -7", #"user: "alice""#, #"room: "news""#,
            "everyone: true", "confirm: ACKED", "patience_ms: 2950", #"session: "cloud-1#7.42""#,
            "code: 4501", "epoch: 1712345678901", "offset: 42", #"collapse_key: "score/7""#,
            "class: DROPPABLE",
        ] {
            #expect(shown.contains(line), "\(line) is not in:\n\(shown)")
        }
        #expect(
            !shown.contains(try Regex(#"(?m)^\s*\d+:"#)),
            "protoc met a field that it does not know:\n\(shown)"
        )
        #expect(try Envelope(wire: protoc("--encode=herald.Envelope", input: text)) == envelope)
    }

    @Test(.timeLimit(.minutes(1))) func `a reply is read back as it is written, by protoc too`() throws {
        let reply = Reply(
            node: try NodeID("cloud-1"),
            receipts: [
                Receipt(
                    ticket: 9,
                    target: 3,
                    reach: Reach(connections: 6, written: 3, acked: 2, dropped: 3, collapsed: 2),
                    isFinal: true
                ),
                Receipt(ticket: .max, target: 0, reach: nil, isFinal: true),
                Receipt(ticket: 1, target: 0, reach: Reach(), isFinal: false),
            ]
        )
        #expect(try Reply(wire: reply.encoded()) == reply)
        let text = try protoc("--decode=herald.Reply", input: reply.encoded())
        for line in [
            "written: 3", "absent: true", "final: true", "collapsed: 2", "ticket: 18446744073709551615",
        ] {
            #expect(String(decoding: text, as: UTF8.self).contains(line))
        }
        #expect(try Reply(wire: protoc("--encode=herald.Reply", input: text)) == reply)
        for count in 0..<reply.encoded().count { _ = try? Reply(wire: Array(reply.encoded()[..<count])) }
        #expect(throws: WireError.self) { try Reply(wire: []) }
    }

    private func sample() throws -> Envelope {
        Envelope(
            sender: "logic-1",
            deliveries: [
                Delivery(
                    push: try PushID("p1"),
                    message: Message(
                        event: "order.shipped",
                        op: -7,
                        payload: .json(Array(#"{"n":"é"}"#.utf8))
                    ),
                    targets: [
                        .user(try UserID("alice")), .key(try UserKey("bob/phone")), .room(try RoomID("news")),
                        .everyone,
                    ],
                    positions: [
                        InboxPosition(epoch: 1_712_345_678_901, offset: 42), nil,
                        InboxPosition(epoch: .max, offset: .max), nil,
                    ],
                    exclude: [try UserKey("alice/tv")],
                    query: ReceiptQuery(ticket: .max, confirm: .acked, patience: .milliseconds(2950))
                ),
                Delivery(
                    push: try PushID("p2"),
                    message: Message(op: Int32.max, payload: .binary([0, 255])),
                    targets: [.user(try UserID("用户"))],
                    queuePolicy: QueuePolicy(collapseKey: try CollapseKey("score/7"), isDroppable: true),
                    query: ReceiptQuery(ticket: 7, confirm: .routed, patience: .seconds(30))
                ),
            ],
            closes: [
                CloseOrder(
                    name: try UserKey("alice/phone"),
                    session: SessionID("cloud-1#7.42"),
                    code: .replaced
                ),
                CloseOrder(name: try UserKey("alice/phone"), code: .kicked),
            ]
        )
    }

    private func protoc(_ mode: String, input: [UInt8]) throws -> [UInt8] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "../../Sources/HeraldWire"
        )
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/protoc")
        process.arguments = [mode, "--proto_path=\(folder.standardizedFileURL.path)", "envelope.proto"]
        let (stdin, stdout) = (Pipe(), Pipe())
        process.standardInput = stdin
        process.standardOutput = stdout
        try process.run()
        try stdin.fileHandleForWriting.write(contentsOf: Data(input))
        try stdin.fileHandleForWriting.close()
        let output = try stdout.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return Array(output)
    }
}
