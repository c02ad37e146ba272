import Testing

@testable import HeraldCore

struct IdentifiersTests {
    @Test(arguments: [
        "alice", "7", "a/b", "Ünï-cødé", "用户", "😀", String(repeating: "x", count: 128), "a:b#c.d",
    ])
    func `a printable text of 1 to 128 bytes names a user`(text: String) throws {
        #expect(try UserID(text).description == text)
        #expect(try RoomID(text).description == text)
    }

    @Test(arguments: [
        "", " ", "a b", "a\u{7F}", "a\n", "\u{0}", "{a}", "a}", String(repeating: "x", count: 129),
        "a\u{A0}b",
        "a\u{2028}b", "a\u{85}b", "a\u{202E}b", "a\u{FEFF}", "\u{E000}",
    ])
    func `anything else is refused`(text: String) {
        #expect(throws: InvalidIdentifier.self) { try UserID(text) }
        #expect(throws: InvalidIdentifier.self) { try RoomID(text) }
        #expect(throws: InvalidIdentifier.self) { try ConnectionKey(text) }
        #expect(throws: InvalidIdentifier.self) { try PushID(text) }
    }

    @Test func `two texts are two ids, also where Unicode calls them equivalent`() throws {
        let composed = "caf\u{E9}"
        let decomposed = "cafe\u{301}"
        #expect(composed == decomposed)
        #expect(try UserID(composed) != UserID(decomposed))
        #expect(try Set([UserID(composed), UserID(decomposed), UserID(composed)]).count == 2)
        #expect(try RoomID(composed) != RoomID(decomposed))
        #expect(try UserKey("a/\(composed)") != UserKey("a/\(decomposed)"))
        #expect(try CollapseKey(composed) != CollapseKey(decomposed))
        #expect(try IdempotencyKey(composed) != IdempotencyKey(decomposed))
        #expect(try PushID(composed) != PushID(decomposed))
        // The same marks in another order have the same length.
        #expect(try UserID("q\u{307}\u{323}") != UserID("q\u{323}\u{307}"))
    }

    @Test func `a key has no slash, so that user and key split at the last one`() throws {
        #expect(throws: InvalidIdentifier(kind: "key", rule: "contains a slash")) { try ConnectionKey("a/b") }
        let name = try UserKey("org/alice/phone")
        #expect(name.user.description == "org/alice")
        #expect(name.key.description == "phone")
        #expect(name.description == "org/alice/phone")
        for bad in ["alice", "/phone", "alice/", ""] {
            #expect(throws: InvalidIdentifier.self) { try UserKey(bad) }
        }
    }

    @Test(arguments: ["", "Cloud", "cloud_1", "cloud 1", "clöud", String(repeating: "a", count: 65)])
    func `a node has a plain name`(text: String) throws {
        #expect(throws: InvalidIdentifier.self) { try NodeID(text) }
        #expect(try NodeID("cloud-1").description == "cloud-1")
    }

    @Test func `a session is read back as it is written`() throws {
        let session = SessionID(node: try NodeID("cloud-1"), incarnation: Incarnation(7), counter: 42)
        #expect(session.description == "cloud-1#7.42")
        #expect(SessionID("cloud-1#7.42") == session)
        for bad in [
            "", "cloud-1", "cloud-1#7", "cloud-1#7.", "#7.42", "cloud-1#-7.42", "Cloud#7.42", "cloud-1#7.42 ",
        ] {
            #expect(SessionID(bad) == nil)
        }
    }

    @Test func `push ids differ and stay small enough for a string without allocation`() {
        var source = PushIDSource(random: .max)
        var seen: Set<PushID> = []
        for _ in 0..<10_000 { seen.insert(source.next()) }
        #expect(seen.count == 10_000)
        #expect(seen.allSatisfy { $0.description.utf8.count <= 15 })
        var other = PushIDSource(random: 1)
        #expect(!seen.contains(other.next()))
    }
}
