import HeraldTesting
import Testing

@testable import HeraldSockets

/// Valid input, damaged at random and cut at random: whatever it is, it is read the same wherever it is cut, and
/// nothing goes beyond its bounds. Runs are repeatable; `HERALD_MUTATIONS` in the environment sets their number.
@Suite struct MutationTests {
    private func cut(_ bytes: [UInt8], _ place: Int) -> [[UInt8]] {
        [Array(bytes[..<place]), Array(bytes[place...])]
    }

    @Test func `damaged frames are read the same wherever they are cut, and within bounds`() {
        let seeds = [
            ClientFrame.text("häl€") + ClientFrame.ping("p") + ClientFrame.text("a", isFinal: false)
                + ClientFrame.pong() + ClientFrame.more("b", isFinal: true) + ClientFrame.close(1000),
            ClientFrame.frame(first: 0xC1, DeflateTests.hello) + ClientFrame.binary([], isFinal: false)
                + ClientFrame.more([7], isFinal: false) + ClientFrame.ping()
                + ClientFrame.more([8], isFinal: true),
            ClientFrame.binary([UInt8](repeating: 1, count: 130))
                + ClientFrame.close(4000, Array("bye".utf8)),
        ]
        Mutations.each(of: seeds) { bytes, place, run in
            let read: ([[UInt8]]) -> (said: [Said], keptBytes: Int) = {
                Said.transcript($0, messageBytesMax: 200, overheadBytesMax: 500, allowsDeflate: run % 2 == 0)
            }
            let whole = read([bytes])
            #expect(read(cut(bytes, place)).said == whole.said, "run \(run)")
            #expect(read(bytes.map { [$0] }).said == whole.said, "run \(run)")
            #expect(whole.keptBytes <= 200 + 200 / 8 + 64 + 125, "run \(run)")
        }
    }

    @Test func `damaged compressed messages stay within the limit, and what is read comes back`() {
        let texts = [
            "Hello", String(repeating: "ab", count: 2000), String(repeating: #"{"user":"alice"}"#, count: 40),
        ]
        let deflater = Deflater(windowBits: 15, level: 6)
        var seeds: [[UInt8]] = [[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00]]
        for text in texts {
            var packed = DeflateBuffer()
            Array(text.utf8).withUnsafeBytes { deflater.deflate($0, into: &packed) }
            deflater.reset()
            seeds.append(Array(packed.bytes))
        }
        var inflater = Inflater(windowBits: 15)
        var again = Inflater(windowBits: 15)
        var (wholes, invalids) = (0, 0)
        Mutations.each(of: seeds) { bytes, _, run in
            var buffer = DeflateBuffer()
            var packed = DeflateBuffer()
            var second = DeflateBuffer()
            inflater.reset()
            let outcome = bytes.withUnsafeBytes { inflater.inflate($0, into: &buffer, bytesMax: 4500) }
            #expect(buffer.count <= 4501, "run \(run)")
            guard outcome == .whole else {
                invalids += 1
                return
            }
            wholes += 1
            deflater.deflate(buffer.bytes, into: &packed)
            deflater.reset()
            again.reset()
            let back = again.inflate(packed.bytes, into: &second, bytesMax: 4500)
            #expect(back == .whole && Array(second.bytes) == Array(buffer.bytes), "run \(run)")
        }
        #expect(wholes > Mutations.runs / 20 && invalids > Mutations.runs / 20)
    }

    @Test func `damaged requests are judged the same wherever they are cut`() {
        let seeds = [
            RequestHeadTests.upgrade(adding: [
                "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=\"10\", x",
                "Sec-WebSocket-Protocol: a, b", "X-Forwarded-For: 1.2.3.4, [::1]:80",
            ]),
            Array("GET http://h/x?a=%41&b HTTP/1.0\r\n\r\n".utf8),
        ]
        Mutations.each(of: seeds) { bytes, place, run in
            #expect(judged(cut(bytes, place)) == judged([bytes]), "run \(run)")
            _ = ProxyHeader.parse(ProxyTests.signature + bytes)
        }
    }

    /// What the pieces come to, in words.
    private func judged(_ pieces: [[UInt8]]) -> String {
        var reader = RequestHeadReader()
        for piece in pieces {
            switch reader.next(piece.span.bytes, limits: SocketLimits()) {
            case .needsMore: continue
            case .refused(let refusal): return "\(refusal)"
            case .head(let bytes, _):
                do {
                    let head = try RequestHeadParser.parse(bytes).get()
                    let offers = try ExtensionOffer.all(in: head)
                    let query = Result { () throws(HTTPRequestHead.QueryError) in try head.query().count }
                    return
                        "\(head.method) \(head.path) \(head.isUpgrade) \(offers) \(query) \(head.subprotocols)"
                } catch {
                    return "\(error)"
                }
            }
        }
        return "needs more"
    }
}
