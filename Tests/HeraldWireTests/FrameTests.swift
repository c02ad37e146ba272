import HeraldCore
import HeraldWire
import Testing

struct FrameTests {
    @Test func `a client's frames are read back as they are written`() throws {
        let frames = [
            ClientFrame(.connect(ConnectRequest())),
            ClientFrame(
                id: 7,
                .connect(
                    ConnectRequest(
                        user: try UserID("alice"),
                        key: try ConnectionKey("phone"),
                        rooms: [try RoomID("news")]
                    )
                )
            ),
            ClientFrame(id: 1, .join(try RoomID("news"))), ClientFrame(id: 0, .leave(try RoomID("a\"b"))),
            ClientFrame(.connect(ConnectRequest(resume: .fresh))),
            ClientFrame(.connect(ConnectRequest(resume: .after(InboxPosition(epoch: .max, offset: 41))))),
            ClientFrame(id: 2, .ack(try PushID("p1"))), ClientFrame(.ping),
        ]
        for frame in frames { #expect(try decode(frame.encoded()) == frame) }
    }

    @Test(arguments: [
        ("{}", "missing_field", ""), ("[]", "wrong_type", ""), ("x", "wrong_type", ""),
        (#"{"id":1}"#, "missing_field", ""),
        (#"{"join":{}}"#, "missing_field", "join.room"), (#"{"join":{"room":""}}"#, "bad_id", "join.room"),
        (#"{"join":{"room":"a","x":1}}"#, "unknown_field", "join.x"),
        (#"{"ping":{"x":1}}"#, "unknown_field", "ping.x"),
        (#"{"join":{"room":"a"},"ping":{}}"#, "conflicting_fields", "ping"),
        (#"{"id":-1,"ping":{}}"#, "out_of_range", "id"),
        (#"{"connect":{"user":"a b"}}"#, "bad_id", "connect.user"),
        (#"{"shout":{}}"#, "unknown_field", "shout"),
        (#"{"connect":{"resume":{"epoch":"1"}}}"#, "missing_field", "connect.resume"),
        (#"{"connect":{"resume":{"epoch":7,"offset":1}}}"#, "wrong_type", "connect.resume.epoch"),
        (#"{"connect":{"resume":{"epoch":"x","offset":1}}}"#, "bad_id", "connect.resume.epoch"),
        (#"{"ack":{}}"#, "missing_field", "ack.id"), (#"{"ack":{"id":"a b"}}"#, "bad_id", "ack.id"),
        (#"{"connect":{"key":"a/b"}}"#, "bad_id", "connect.key"), (#"{"ping":{}"#, "bad_json", ""),
    ])
    func `a bad frame is named`(text: String, code: String, field: String) {
        #expect {
            try decode(Array(text.utf8))
        } throws: {
            ($0 as? WireError)?.code.description == code && ($0 as? WireError)?.field == field
        }
    }

    @Test func `a node's frames are read back as they are written`() throws {
        let frames: [ServerFrame] = [
            .connected(
                user: try UserID("alice"),
                key: try ConnectionKey("phone"),
                node: try NodeID("cloud-1")
            ),
            .push(
                PushFrame(
                    id: try PushID("p1"),
                    message: Message(event: "e", op: -7, payload: .json(Array(#"{"a":[1, 2]}"#.utf8))),
                    room: try RoomID("news")
                )
            ),
            .push(
                PushFrame(id: try PushID("p2"), message: Message(payload: .binary([0, 255])), wantsAck: true)
            ),
            .push(PushFrame(id: try PushID("p3"), message: Message())),
            .push(
                PushFrame(
                    id: try PushID("p4"),
                    message: Message(),
                    position: InboxPosition(epoch: .max, offset: 42)
                )
            ),
            .connected(
                user: try UserID("alice"),
                key: try ConnectionKey("phone"),
                node: try NodeID("cloud-1"),
                inbox: InboxStart(position: InboxPosition(epoch: .max, offset: 41), isRecovered: true)
            ),
            .reset(InboxPosition(epoch: 7, offset: 0)), .ok(id: 7), .ok(id: nil),
            .error(id: nil, code: "bad_json", message: "the \"text\""),
            .pong(id: 3),
        ]
        for frame in frames { #expect(try ServerFrame.decode(frame.encoded()) == frame) }
    }

    @Test func `a push in parts leaves the payload where it was`() throws {
        let data = Array(#"{"n":1}"#.utf8)
        let push = PushFrame(id: try PushID("p1"), message: Message(event: "e", payload: .json(data)))
        let parts = ServerFrame.push(push).encodedParts()
        #expect(String(decoding: parts.text, as: UTF8.self) == #"{"push":{"id":"p1","event":"e","data":}}"#)
        #expect(parts.payload == data)
        #expect(parts.text[..<parts.payloadPlace].last == UInt8(ascii: ":"))
        let none = ServerFrame.push(PushFrame(id: push.id, message: Message())).encodedParts()
        #expect(none.payload.isEmpty && none.payloadPlace == 0)
        #expect(String(decoding: none.text, as: UTF8.self) == #"{"push":{"id":"p1"}}"#)
    }

    @Test func `a client passes over what a newer node adds`() throws {
        #expect(try ServerFrame.decode(Array(#"{"news":{}}"#.utf8)) == nil)
        #expect(try ServerFrame.decode(Array(#"{"ok":{"x":1},"y":[2],"id":9}"#.utf8)) == .ok(id: 9))
    }

    @Test func `frames look as the README shows them`() throws {
        var push = PushFrame(
            id: try PushID("p1"),
            message: Message(event: "order.shipped", op: 1000, payload: .json(Array(#"{"n":1}"#.utf8))),
            room: try RoomID("news")
        )
        #expect(
            String(decoding: ServerFrame.push(push).encoded(), as: UTF8.self)
                == #"{"push":{"id":"p1","event":"order.shipped","op":1000,"room":"news","data":{"n":1}}}"#
        )
        push = PushFrame(id: push.id, message: Message(), wantsAck: true)
        #expect(
            String(decoding: ServerFrame.push(push).encoded(), as: UTF8.self)
                == #"{"push":{"id":"p1","ack":true}}"#
        )
        push.position = InboxPosition(epoch: 1_712_345_678_901, offset: 42)
        #expect(
            String(decoding: ServerFrame.push(push).encoded(), as: UTF8.self)
                == #"{"push":{"id":"p1","ack":true,"epoch":"1712345678901","offset":42}}"#
        )
    }

    private func decode(_ bytes: [UInt8]) throws -> ClientFrame {
        try bytes.withUnsafeBytes { try ClientFrame.decode($0, limits: .standard) }
    }
}
