import Testing

@testable import HeraldSockets

@Suite struct FrameReaderTests {
    // MARK: What is allowed

    @Test func `whole messages come in order, however many lie in one read`() {
        let bytes =
            ClientFrame.text("one") + ClientFrame.binary([0, 255, 1]) + ClientFrame.text("")
            + ClientFrame.ping("p")
        let (said, kept) = Said.transcript([bytes])
        #expect(said == [.text("one"), .binary([0, 255, 1]), .text(""), .ping("p")])
        #expect(kept == 0)
    }

    @Test(arguments: [0, 1, 7, 8, 125, 126, 127, 65_535, 65_536, 70_001])
    func `every form of length is read and unmasked`(count: Int) {
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        #expect(Said.transcript([ClientFrame.binary(payload)]).said == [.binary(payload)])
    }

    @Test func `a transcript is the same wherever it is cut`() {
        let bytes =
            ClientFrame.text("häl", isFinal: false) + ClientFrame.ping("in between")
            + ClientFrame.more("lo ", isFinal: false)
            + ClientFrame.pong() + ClientFrame.more("€", isFinal: true) + ClientFrame.binary(Array(0..<200))
            + ClientFrame.ping() + ClientFrame.text("end") + ClientFrame.close(1000, Array("bye".utf8))
        let whole = Said.transcript([bytes]).said
        #expect(
            whole == [
                .ping("in between"), .pong, .text("hällo €"), .binary(Array(0..<200)), .ping(""),
                .text("end"), .close(1000),
            ]
        )
        for cut in 0...bytes.count {
            #expect(Said.transcript([Array(bytes[..<cut]), Array(bytes[cut...])]).said == whole)
        }
        let single = Said.transcript(bytes.map { [$0] })
        #expect(single.said == whole)
        #expect(single.keptBytes == 0)
    }

    @Test func `a character may be cut by a fragment's end`() {
        let euro = Array("€".utf8)
        let bytes =
            ClientFrame.frame(first: 0x01, [euro[0]]) + ClientFrame.more(Array(euro[1...]), isFinal: true)
        #expect(Said.transcript([bytes]).said == [.text("€")])
    }

    @Test func `a message may come in very many fragments`() {
        var bytes = ClientFrame.binary([], isFinal: false)
        for value in 0..<20_000 {
            bytes += ClientFrame.more([UInt8(truncatingIfNeeded: value)], isFinal: false)
        }
        bytes += ClientFrame.more([], isFinal: true)
        let said = Said.transcript([bytes], messageBytesMax: 20_000).said
        #expect(said == [.binary((0..<20_000).map { UInt8(truncatingIfNeeded: $0) })])
    }

    @Test func `nothing is read after a close frame`() {
        #expect(Said.transcript([ClientFrame.close() + ClientFrame.text("late")]).said == [.close(nil)])
        #expect(Said.transcript([ClientFrame.close(4321), ClientFrame.text("late")]).said == [.close(4321)])
    }

    @Test(arguments: [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
    ])
    func `a close code that may be sent is taken`(code: Int) {
        #expect(Said.transcript([ClientFrame.close(UInt16(code))]).said == [.close(UInt16(code))])
    }

    // MARK: What is not

    static let violations: [([UInt8], FrameViolation)] = [
        (ClientFrame.frame(first: 0xC1, []), .reservedBits),
        (ClientFrame.frame(first: 0xA1, []), .reservedBits),
        (ClientFrame.frame(first: 0x91, []), .reservedBits),
        (ClientFrame.frame(first: 0x83, []), .unknownOpcode),
        (ClientFrame.frame(first: 0x87, []), .unknownOpcode),
        (ClientFrame.frame(first: 0x8B, []), .unknownOpcode),
        (ClientFrame.frame(first: 0x8F, []), .unknownOpcode),
        ([0x81, 0x01, 0x41], .unmasked),
        ([0x81, 0xFE, 0x00, 0x7D] + ClientFrame.mask, .lengthNotMinimal),
        ([0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF] + ClientFrame.mask, .lengthNotMinimal),
        ([0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0] + ClientFrame.mask, .lengthTopBit),
        (ClientFrame.frame(first: 0x09, []), .controlFragmented),
        (ClientFrame.frame(first: 0x08, []), .controlFragmented),
        ([0x89, 0xFE, 0x00, 0x7E] + ClientFrame.mask, .controlTooLong),
        ([0x88, 0xFF], .controlTooLong),
        (ClientFrame.more("x", isFinal: true), .continuationWithoutStart),
        (ClientFrame.more("x", isFinal: false), .continuationWithoutStart),
        (ClientFrame.close(nil, [3]), .closePayloadTooShort),
        (ClientFrame.close(1000, [0xC3]), .closeReasonNotUTF8),
        (ClientFrame.close(1000, [0xFF]), .closeReasonNotUTF8),
        (ClientFrame.frame(first: 0x81, [0xC3]), .textNotUTF8),
        (ClientFrame.frame(first: 0x81, [0x41, 0xED, 0xA0, 0x80]), .textNotUTF8),
    ]

    @Test(arguments: violations)
    func `a broken rule is named, wherever the bytes are cut`(bytes: [UInt8], violation: FrameViolation) {
        let good = ClientFrame.text("good")
        let all = good + bytes + ClientFrame.text("never")
        for cut in 0...all.count {
            let said = Said.transcript([Array(all[..<cut]), Array(all[cut...])]).said
            #expect(said == [.text("good"), .violation(violation)])
        }
    }

    @Test(arguments: [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
    func `a close code that is none is a protocol error`(code: Int) {
        #expect(Said.transcript([ClientFrame.close(UInt16(code))]).said == [.violation(.closeCodeInvalid)])
    }

    @Test(arguments: [0xC1, 0x83, 0x09])
    func `a bad first byte is refused before the second comes`(first: Int) {
        #expect(Said.transcript([[UInt8(first)]]).said.count == 1)
    }

    @Test func `a new message may not start inside another`() {
        let start = ClientFrame.text("a", isFinal: false)
        #expect(Said.transcript([start + ClientFrame.text("b")]).said == [.violation(.startInsideMessage)])
        #expect(Said.transcript([start + ClientFrame.binary([1])]).said == [.violation(.startInsideMessage)])
    }

    @Test func `bad UTF-8 is refused before the frame is whole`() {
        let bytes = ClientFrame.frame(first: 0x81, [0x41, 0xFF] + [UInt8](repeating: 0x41, count: 90))
        let (said, kept) = Said.transcript([Array(bytes.prefix(8))])
        #expect(said == [.violation(.textNotUTF8)])
        #expect(kept == 0)
    }

    @Test func `a text may not end inside a character`() {
        let bytes = ClientFrame.frame(first: 0x01, [0xE2]) + ClientFrame.more([0x82], isFinal: true)
        #expect(Said.transcript([bytes]).said == [.violation(.textNotUTF8)])
    }

    // MARK: Limits

    @Test func `a length is judged when it is announced, before anything is kept`() {
        let header: [UInt8] = [0x82, 0xFF, 0x7F] + [UInt8](repeating: 0xFF, count: 7) + ClientFrame.mask
        let (said, kept) = Said.transcript([header], messageBytesMax: 1000)
        #expect(said == [.violation(.messageTooBig)])
        #expect(kept == 0)
    }

    @Test func `fragments count together`() {
        let start = ClientFrame.binary([UInt8](repeating: 1, count: 600), isFinal: false)
        let fits = Said.transcript(
            [start + ClientFrame.more([UInt8](repeating: 1, count: 400), isFinal: true)],
            messageBytesMax: 1000
        )
        #expect(fits.said.count == 1)
        let more = ClientFrame.more([UInt8](repeating: 1, count: 401), isFinal: false)
        #expect(Said.transcript([start + more], messageBytesMax: 1000).said == [.violation(.messageTooBig)])
    }

    @Test func `what is announced and not sent is not held`() {
        let bytes = ClientFrame.binary([UInt8](repeating: 7, count: 60_000)).prefix(20)
        #expect(Said.transcript([Array(bytes)]).keptBytes == 12)
    }

    @Test func `empty fragments and control frames are charged by their bytes`() {
        let start = ClientFrame.binary([1], isFinal: false)
        let empty = (0..<10).flatMap { _ in ClientFrame.more([], isFinal: false) }
        #expect(Said.transcript([start + empty], overheadBytesMax: 60).said.isEmpty)
        #expect(Said.transcript([start + empty], overheadBytesMax: 59).said == [.violation(.flood)])
        let pings = (0..<3).flatMap { _ in ClientFrame.ping("1234") }
        #expect(
            Said.transcript([pings], overheadBytesMax: 29).said == [
                .ping("1234"), .ping("1234"), .violation(.flood),
            ]
        )
    }

    @Test func `a new interval forgives`() {
        var reader = FrameReader()
        let limits = FrameReader.Limits(messageBytesMax: 100, overheadBytesMax: 10)
        for _ in 0..<5 {
            var bytes = ClientFrame.ping()
            var cursor = 0
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            let event = reader.next(&raw, at: &cursor, limits: limits, allowsDeflate: false)
            #expect(event == .ping(.received(6..<6)))
            reader.forgiveOverhead()
        }
    }

    @Test func `every violation has a code that may be sent, and a reason that fits`() {
        for violation in FrameViolation.allCases {
            #expect(ClosePayload.isAllowedOnWire(violation.code))
            #expect(violation.reason.utf8.count <= 123)
        }
    }
}
