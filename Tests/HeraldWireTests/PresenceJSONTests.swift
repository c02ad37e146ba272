import HeraldCore
import HeraldWire
import Testing

struct PresenceJSONTests {
    @Test func `an event is one object, in one order`() throws {
        #expect(
            text(try event(.connected)) == """
                {"id":"3-1712345678901-0","type":"connected","user":"alice","key":"phone","node":"cloud-1",\
                "session":"cloud-1#7.42","epoch":1712345678900,"connections":1,"at":1712345678901}
                """
        )
        let previous = try #require(SessionID("cloud-2#9.1"))
        #expect(text(try event(.replaced(previous: previous))).hasSuffix(#","previous":"cloud-2#9.1"}"#))
        #expect(text(try event(.disconnected(.nodeLost))).hasSuffix(#","reason":"node_lost"}"#))
    }

    @Test func `what is written is read again`() throws {
        let previous = try #require(SessionID("cloud-2#9.1"))
        let kinds: [PresenceEvent.Kind] =
            [.connected, .replaced(previous: previous)] + DisconnectReason.allCases.map { .disconnected($0) }
        for kind in kinds {
            let event = try event(kind)
            #expect(try PresenceJSON.decode(PresenceJSON.encode(event)) == event)
        }
        var strange = try event(.connected)
        strange.name = try UserKey(#"a"\/é/k"#)
        #expect(try PresenceJSON.decode(PresenceJSON.encode(strange)) == strange)
        let events = try kinds.map { try self.event($0) }
        #expect(try PresenceJSON.decode(batch: PresenceJSON.encode(batch: events)) == events)
        #expect(try PresenceJSON.decode(batch: Array(#"{"v":[1],"events":[]}"#.utf8)) == [])
    }

    @Test func `order does not matter, and what a newer Herald adds is passed over`() throws {
        let text = """
            {"at":1712345678901,"new":{"a":[1,2]},"connections":1,"epoch":1712345678900,"session":"cloud-1#7.42",
             "key":"phone","user":"alice","type":"connected","id":"3-1712345678901-0"}
            """
        #expect(try PresenceJSON.decode(Array(text.utf8)) == event(.connected))
    }

    @Test(arguments: [
        (#""id":"3-1712345678901-0""#, #""id":"16-1-0""#, "bad_id", "id"),
        (#""id":"3-1712345678901-0""#, #""id":"3-1""#, "bad_id", "id"),
        (#""id":"3-1712345678901-0""#, #""x":1"#, "missing_field", "id"),
        (#""type":"connected""#, #""type":"moved""#, "unsupported", "type"),
        (#""type":"connected""#, #""type":"replaced""#, "missing_field", "previous"),
        (#""type":"connected""#, #""type":"replaced","previous":"x""#, "bad_id", "previous"),
        (#""type":"connected""#, #""type":"disconnected","reason":"bored""#, "unsupported", "reason"),
        (#""user":"alice""#, #""user":"a b""#, "bad_id", "user"),
        (#""epoch":1712345678900"#, #""epoch":-1"#, "out_of_range", "epoch"),
        (#""connections":1"#, #""connections":"1""#, "wrong_type", "connections"),
        (#""at":1712345678901}"#, #""at":1}}"#, "bad_json", ""),
    ])
    func `what is no event is named`(part: String, wrong: String, code: String, field: String) throws {
        let text = text(try event(.connected)).replacing(part, with: wrong)
        #expect {
            _ = try PresenceJSON.decode(Array(text.utf8))
        } throws: {
            ($0 as? WireError)?.code.description == code && ($0 as? WireError)?.field == field
        }
    }

    @Test func `a batch is bounded, and says which event is wrong`() throws {
        let one = text(try event(.connected))
        #expect {
            _ = try PresenceJSON.decode(batch: Array(#"{"events":[\#(one),{}]}"#.utf8))
        } throws: { ($0 as? WireError)?.field == "events[1].id" }
        #expect {
            _ = try PresenceJSON.decode(batch: Array(#"{"events":[\#(one),\#(one)]}"#.utf8), max: 1)
        } throws: { ($0 as? WireError)?.code == .tooMany }
    }

    @Test(arguments: [
        "", "3", "3-1", "-1-1-0", "3-1-0-0", "3--0", "3-+1-0", "16-1-0", "3-1-99999999999999999999",
    ])
    func `what is no id is none`(text: String) { #expect(PresenceEventID(text) == nil) }

    private func text(_ event: PresenceEvent) -> String {
        String(decoding: PresenceJSON.encode(event), as: UTF8.self)
    }

    private func event(_ kind: PresenceEvent.Kind) throws -> PresenceEvent {
        PresenceEvent(
            id: PresenceEventID(partition: 3, entry: "1712345678901-0"),
            kind: kind,
            name: try UserKey("alice/phone"),
            session: try #require(SessionID("cloud-1#7.42")),
            epoch: Epoch(1_712_345_678_900),
            connections: 1,
            at: RedisTime(milliseconds: 1_712_345_678_901)
        )
    }
}
