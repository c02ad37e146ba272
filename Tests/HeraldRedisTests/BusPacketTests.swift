import Testing

@testable import HeraldRedis

@Suite struct BusPacketTests {
    private func packet(_ text: String) -> BusPacket? { BusPacket(Array(text.utf8)) }

    private let position = HopPosition(number: 1_732_168_000_123, id: HopID(milliseconds: 17, sequence: 3))

    @Test func `packets are read as the scripts write them`() {
        #expect(
            packet("m17-3 1732168000123 a b")
                == .message(HopMessage(position: position, bytes: Array("a b".utf8)))
        )
        #expect(packet("m17-3 1732168000123 ") == .message(HopMessage(position: position, bytes: [])))
        #expect(packet("p17-3 1732168000123 ") == .probe(position))
        #expect(BusPacket(BusPacket.plainProbe) == .probe(HopPosition(number: 0, id: .unknown)))
        #expect(BusPacket(BusPacket.reply(packed: [0, 255])) == .reply([0, 255]))
        #expect(BusPacket(BusPacket.reply(packed: [])) == .reply([]))
    }

    @Test(arguments: [
        "", "x", "m", "m17", "m17-3", "m17-3 5", "m17 5 a", "m17-3 x a", "m-3 5 a", "m17- 5 a", "m17-3  a",
        "p17-3", "m99999999999999999999-1 5 a",
    ])
    func `what none of ours sends is no packet`(_ text: String) {
        #expect(packet(text) == nil)
    }

    @Test func `entries are read as XRANGE gives them`() {
        func entry(_ id: String, _ fields: [String]) -> HopMessage? {
            HopMessage(
                entry: .array([
                    .string(Array(id.utf8)), .array(fields.map { .string(Array($0.utf8)) }),
                ])
            )
        }
        #expect(
            entry("17-3", ["n", "1732168000123", "e", "abc"])
                == HopMessage(position: position, bytes: Array("abc".utf8))
        )
        #expect(entry("17", ["n", "1", "e", "abc"]) == nil)
        #expect(entry("17-3", ["n", "x", "e", "abc"]) == nil)
        #expect(entry("17-3", ["n", "1"]) == nil)
        #expect(HopMessage(entry: .null) == nil)
    }

    @Test func `ids are ordered and have a predecessor`() {
        #expect(HopID(milliseconds: 1, sequence: 9) < HopID(milliseconds: 2, sequence: 0))
        #expect(HopID(milliseconds: 2, sequence: 1).predecessor == HopID(milliseconds: 2, sequence: 0))
        #expect(HopID(milliseconds: 2, sequence: 0).predecessor == HopID(milliseconds: 1, sequence: .max))
        #expect(HopID.unknown.predecessor == .unknown)
        #expect(HopID(milliseconds: 1, sequence: .max).description == "1-18446744073709551615")
    }
}
