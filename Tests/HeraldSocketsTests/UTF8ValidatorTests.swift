import Testing

@testable import HeraldSockets

@Suite struct UTF8ValidatorTests {
    private func isValid(_ pieces: [[UInt8]]) -> Bool {
        var validator = UTF8Validator()
        for piece in pieces where !validator.consume(piece.span.bytes) { return false }
        return validator.isComplete
    }

    private func agrees(_ bytes: [UInt8]) -> Bool {
        let expected = String(validating: bytes, as: UTF8.self) != nil
        return (0...bytes.count).allSatisfy {
            isValid([Array(bytes[..<$0]), Array(bytes[$0...])]) == expected
        }
    }

    @Test func `all sequences of one and two bytes are judged as the standard library does`() {
        var wrong: [[UInt8]] = []
        for first in UInt8.min...UInt8.max {
            if !agrees([first]) { wrong.append([first]) }
            for second in UInt8.min...UInt8.max where !agrees([first, second]) {
                wrong.append([first, second])
            }
        }
        #expect(wrong == [])
    }

    @Test func `three and four bytes are judged as the standard library does, at every edge`() {
        let edges: [UInt8] = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF]
        var wrong: [[UInt8]] = []
        for first in UInt8(0xE0)...0xFF {
            for second in UInt8.min...UInt8.max {
                for third in edges {
                    if !agrees([first, second, third]) { wrong.append([first, second, third]) }
                    guard first >= 0xF0, edges.contains(second) else { continue }
                    for fourth in edges where !agrees([first, second, third, fourth]) {
                        wrong.append([first, second, third, fourth])
                    }
                }
            }
        }
        #expect(wrong == [])
    }

    @Test(arguments: 0..<20)
    func `the quick way through ASCII stops where it should`(position: Int) {
        var bytes = [UInt8](repeating: 0x41, count: 20)
        bytes[position] = 0xFF
        #expect(!isValid([bytes]))
        bytes[position] = 0x42
        #expect(isValid([bytes]))
        #expect(isValid([bytes + Array("ü".utf8) + bytes]))
    }

    @Test func `what can no longer become valid is refused at once`() {
        for bytes: [UInt8] in [
            [0xC0], [0xF5], [0xE0, 0x9F], [0xED, 0xA0], [0xF0, 0x8F], [0xF4, 0x90], [0x80],
        ] {
            var validator = UTF8Validator()
            let accepts = validator.consume(bytes.span.bytes)
            #expect(!accepts, "\(bytes)")
        }
    }
}
