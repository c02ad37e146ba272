import HeraldCore
import HeraldTesting
import HeraldWire
import Testing

/// What came over a channel or a socket, damaged at random: it is refused, or it is something, and then what is written
/// of it is read as the same. Nothing traps.
struct WireMutationTests {
    @Test func `damaged envelopes and replies are refused, or are written as they were read`() throws {
        let delivery = Delivery(
            push: try PushID("p1"),
            message: Message(event: "e", op: -7, payload: .json(Array("{}".utf8))),
            targets: [
                .user(try UserID("alice")), .key(try UserKey("b/phone")), .room(try RoomID("n")), .everyone,
            ],
            positions: [InboxPosition(epoch: 17, offset: 4), nil, nil, nil],
            exclude: [try UserKey("alice/tv")],
            queuePolicy: QueuePolicy(collapseKey: try CollapseKey("k"), isDroppable: true),
            query: ReceiptQuery(ticket: .max, confirm: .acked, patience: .milliseconds(2950))
        )
        let close = CloseOrder(
            name: try UserKey("alice/phone"),
            session: SessionID("cloud-1#7.42"),
            code: .replaced
        )
        let envelope = Envelope(sender: "logic-1", deliveries: [delivery], closes: [close])
        let reach = Reach(connections: 6, written: 3, acked: 2, dropped: 3, collapsed: 2)
        let reply = Reply(
            node: try NodeID("cloud-1"),
            receipts: [
                Receipt(ticket: 9, target: 3, reach: reach, isFinal: true),
                Receipt(ticket: 1, target: 0, reach: nil, isFinal: false),
            ]
        )
        var read = 0
        try Mutations.each(of: [envelope.encoded(), reply.encoded()]) { bytes, _, run in
            if let envelope = try? Envelope(wire: bytes) {
                read += 1
                let again = try Envelope(wire: envelope.encoded())
                #expect(again == envelope, "run \(run)")
            }
            if let reply = try? Reply(wire: bytes) {
                read += 1
                let again = try Reply(wire: reply.encoded())
                #expect(again == reply, "run \(run)")
            }
        }
        #expect(read > Mutations.runs / 10 && read < Mutations.runs * 2)
    }

    @Test func `damaged frames and pushes are refused, or are written as they were read`() throws {
        let seeds = [
            #"{"push":{"id":"p","event":"e","op":-7,"room":"n","ack":true,"epoch":"9","offset":2,"data":[1.5e3]}}"#,
            #"{"connected":{"user":"a","key":"b","node":"cloud-1","epoch":"9","offset":2,"recovered":true}}"#,
            #"{"id":3,"error":{"code":"bad_id","message":"\u00e9\ud83d\ude00"}}"#,
            #"{"connect":{"user":"alice","rooms":["news"],"resume":{"epoch":"9","offset":41}}}"#,
            #"{"users":["a"],"keys":["a/b"],"op":1,"data_base64":"AAH/","class":"droppable","collapse_key":"k"}"#,
        ].map { Array($0.utf8) }
        let id = try PushID("p")
        var read = 0
        try Mutations.each(of: seeds) { bytes, _, run in
            if let frame = try? ServerFrame.decode(bytes) {
                read += 1
                let again = try ServerFrame.decode(frame.encoded())
                #expect(again == frame, "run \(run)")
            }
            let frame = try? bytes.withUnsafeBytes { bytes in
                try ClientFrame.decode(bytes, limits: .standard)
            }
            if let frame {
                read += 1
                let again = try frame.encoded().withUnsafeBytes { bytes in
                    try ClientFrame.decode(bytes, limits: .standard)
                }
                #expect(again == frame, "run \(run)")
            }
            if (try? PushJSON.decode(bytes, id: id, limits: .standard)) != nil { read += 1 }
        }
        #expect(read > Mutations.runs / 10 && read < Mutations.runs * 2)
    }
}
