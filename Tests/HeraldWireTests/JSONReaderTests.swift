import HeraldCore
import Testing

@testable import HeraldWire

struct JSONReaderTests {
    @Test(arguments: [
        "null", "true", "false", "0", "-0", "-1.5e+10", "1E5", "\"\"", "[]", "{}", " [1, 2] ",
        #"{"a":{"b":[1,"x",null]}}"#, #""\u00e9\ud83d\ude00\n""#, "\"é😀\"", "\t\r\n1 ",
    ])
    func `every form of RFC 8259 passes as it came`(text: String) throws {
        #expect(try raw(text) == Array(text.utf8.drop { $0 == 0x20 || $0 < 0x0E }.trimmed()))
    }

    @Test(arguments: [
        "", " ", "nul", "True", "01", "-", "1.", ".5", "1e", "+1", "0x1", "NaN", "[1,]", "[,1]", "[1 2]",
        "{\"a\"}",
        "{\"a\":}", "{a:1}", "{\"a\":1,}", "{'a':1}", "\"a", "\"\\x\"", "\"\\u12\"", "\"a\u{1}\"", "1 2", "[",
        "{",
        "]", "/*c*/1", "\"\\", "[1}",
    ])
    func `everything else is refused`(text: String) {
        #expect { try raw(text) } throws: { ($0 as? WireError)?.code == .badJSON }
    }

    @Test(arguments: [
        [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xFF, 0x22],
        [0xEF, 0xBB, 0xBF, 0x31],
    ])
    func `bytes that are not UTF-8 or begin with a mark are refused`(bytes: [UInt8]) {
        #expect { try raw(bytes) } throws: { ($0 as? WireError)?.code == .badJSON }
    }

    @Test func `depth is bounded exactly`() throws {
        let nested = { (depth: Int) in
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(try raw(nested(64)).count == 128)
        #expect { try raw(nested(65)) } throws: { ($0 as? WireError)?.code == .tooDeep }
        #expect { try raw(String(repeating: "[", count: 1_000_000)) } throws: {
            ($0 as? WireError)?.code == .tooDeep
        }
    }

    @Test func `each byte is judged alike wherever it stands in a string`() throws {
        for filler in ["a", "é", "\u{7F}"] {
            for place in 0..<20 {
                for byte in UInt8(0)..<0x80 {
                    var text = "\"" + String(repeating: filler, count: place)
                    text.unicodeScalars.append(Unicode.Scalar(byte))
                    text += String(repeating: filler, count: 20 - place) + "\""
                    let isPlain = byte >= 0x20 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
                    let read = try? raw(text)
                    #expect(read == (isPlain ? Array(text.utf8) : nil), "\(byte) at \(place)")
                }
            }
        }
    }

    @Test func `strings are decoded, and half a surrogate pair is refused`() throws {
        #expect(try string(#""a\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00é""#) == "a\"\\/\u{8}\u{C}\n\r\tAé😀é")
        for bad in [#""\ud83d""#, #""\ude00""#, #""\ud83dx""#, #""\ud83d\u0041""#] {
            #expect { try string(bad) } throws: { ($0 as? WireError)?.code == .badJSON }
        }
    }

    @Test func `whole numbers keep their bounds`() throws {
        #expect(try integer("9223372036854775807", Int64.min...Int64.max) == Int64.max)
        #expect(try integer("-5", -5...5) == -5)
        for (text, code) in [
            ("6", WireError.Code.outOfRange), ("9223372036854775808", .outOfRange), ("1.0", .wrongType),
            ("1e2", .wrongType), ("\"1\"", .wrongType), ("null", .wrongType),
        ] {
            #expect(throws: WireError.self) { try integer(text, -5...5) }
            #expect { try integer(text, -5...5) } throws: { ($0 as? WireError)?.code == code }
        }
    }

    @Test func `text written is text read, whatever it holds`() throws {
        var writer = JSONWriter()
        let nasty = "\u{0}\u{1F}\"\\/ é😀\u{7F}\u{2028}"
        writer.object { writer in
            writer.member("a", nasty)
            writer.member("n", -7)
            writer.array("l") { writer in
                writer.bool(true)
                writer.null()
                writer.object { _ in }
            }
        }
        var read = ""
        _ = try lend(writer.bytes) { bytes throws(WireError) in
            try JSONReader.read(bytes, depthMax: 8) { reader throws(WireError) in
                try reader.object { reader, name throws(WireError) in
                    if name == "a" { read = try reader.string() } else { _ = try reader.raw() }
                }
            }
        }
        #expect(read == nasty)
        #expect(String(decoding: writer.bytes, as: UTF8.self).hasSuffix(#","n":-7,"l":[true,null,{}]}"#))
    }

    private func raw(_ text: String) throws(WireError) -> [UInt8] { try raw(Array(text.utf8)) }

    private func raw(_ bytes: [UInt8]) throws(WireError) -> [UInt8] {
        try lend(bytes) { bytes throws(WireError) in
            try JSONReader.read(bytes, depthMax: 64) { reader throws(WireError) in try reader.raw() }
        }
    }

    private func string(_ text: String) throws(WireError) -> String {
        try lend(Array(text.utf8)) { bytes throws(WireError) in
            try JSONReader.read(bytes, depthMax: 1) { reader throws(WireError) in try reader.string() }
        }
    }

    private func integer(_ text: String, _ bounds: ClosedRange<Int64>) throws(WireError) -> Int64 {
        try lend(Array(text.utf8)) { bytes throws(WireError) in
            try JSONReader.read(bytes, depthMax: 1) { reader throws(WireError) in
                try reader.integer(in: bounds)
            }
        }
    }
}

extension Sequence<UInt8> {
    fileprivate func trimmed() -> [UInt8] {
        var bytes = Array(self)
        while bytes.last == 0x20 { bytes.removeLast() }
        return bytes
    }
}
