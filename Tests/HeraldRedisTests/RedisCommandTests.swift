import CHiredis
import Glibc
import Testing

@testable import HeraldRedis

@Suite struct RedisCommandTests {
    @Test func `a command is packed binary-safe`() {
        let command = RedisCommand("SET", "k\r\n", .bytes([0, 13, 10, 255]), 12, .text(""), .integer(.min))
        let expected =
            Array("*6\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$4\r\n".utf8) + [0, 13, 10, 255]
            + Array("\r\n$2\r\n12\r\n$0\r\n\r\n$20\r\n-9223372036854775808\r\n".utf8)
        #expect(command.bytes == expected)
        #expect(command.name == "SET")
    }

    @Test func `a long argument has a long header`() {
        let text = String(repeating: "é", count: 70_000)
        let command = RedisCommand("ECHO", .text(text))
        #expect(command.bytes == Array("*2\r\n$4\r\nECHO\r\n$140000\r\n\(text)\r\n".utf8))
    }

    @Test func `hiredis packs the same bytes`() {
        let words = ["HSET", "herald:user:{alice}", "phone", "cloud-1#7.42 1700000000000 1700000120000", ""]
        let command = RedisCommand(words[0], arguments: words.dropFirst().map { .text($0) })
        #expect(command.bytes == Self.packWithHiredis(words))
    }

    @Test func `a script's name is the one Redis gives it`() {
        // From FIPS 180 and from `SCRIPT LOAD`.
        #expect(sha1Hex([]) == "da39a3ee5e6b4b0d3255bfef95601890afd80709")
        #expect(sha1Hex(Array("abc".utf8)) == "a9993e364706816aba3e25717850c26c9cd0d89d")
        #expect(sha1Hex(Array("return 1".utf8)) == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db")
        let long = sha1Hex([UInt8](repeating: UInt8(ascii: "a"), count: 1000))
        #expect(long == "291e9a6c66994949b57ba5e650361e98fc36b1ba")
    }

    static func packWithHiredis(_ words: [String]) -> [UInt8] {
        var target: UnsafeMutablePointer<CChar>?
        var pointers: [UnsafePointer<CChar>?] = words.map { UnsafePointer(strdup($0)) }
        defer { for pointer in pointers { free(UnsafeMutableRawPointer(mutating: pointer)) } }
        let lengths = words.map(\.utf8.count)
        let count = redisFormatCommandArgv(&target, Int32(words.count), &pointers, lengths)
        defer { redisFreeCommand(target) }
        return UnsafeRawBufferPointer(start: target, count: Int(count)).map { $0 }
    }
}
