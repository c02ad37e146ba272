import Glibc
import Testing

@testable import herald

/// What a measurement reads: frames, answers, `/proc`, its own words.
struct BenchReadingTests {
    /// - Returns: the bytes of whole frames.
    @discardableResult private static func read(_ bytes: [UInt8]) throws -> Int {
        try bytes.withUnsafeBytes { try ServerFrames.forEach(in: $0) { _, _ in } }
    }

    @Test func `frames are handed out whole, and the beginning of another is left`() throws {
        let long = [UInt8](repeating: UInt8(ascii: "a"), count: 300)
        let bytes: [UInt8] = [0x81, 2, 104, 105] + [0x81, 126, 1, 44] + long + [0x89, 0] + [0x81, 5, 1]
        var seen: [(opcode: UInt8, count: Int)] = []
        let used = try bytes.withUnsafeBytes { bytes in
            try ServerFrames.forEach(in: bytes) { seen.append(($0, $1.count)) }
        }
        #expect(seen.map(\.opcode) == [1, 1, 9])
        #expect(seen.map(\.count) == [2, 300, 0])
        #expect(used == bytes.count - 3)
        let header = try Self.read([0x81, 126, 1])
        #expect(header == 0)
    }

    @Test(
        arguments: [[0x01, 0], [0xC1, 0], [0x81, 0x80, 0, 0, 0, 0], [0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0]]
            as [[UInt8]]
    )
    func `fragments, compressed, masked and giant frames are not taken`(_ bytes: [UInt8]) {
        #expect(throws: ServerFrames.Unexpected.self) { try Self.read(bytes) }
    }

    @Test func `answers on one connection are parted by their lengths`() throws {
        let one = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX: y\r\n\r\nhello"
        let two = "HTTP/1.1 503 Service Unavailable\r\nContent-Length:0\r\n\r\n"
        let bytes = Array((one + two + "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").utf8)
        let first = try #require(try HTTPAnswers.next(in: bytes, at: 0))
        #expect(first.status == 200)
        #expect(String(decoding: bytes[first.body], as: UTF8.self) == "hello")
        let second = try #require(try HTTPAnswers.next(in: bytes, at: first.body.upperBound))
        #expect(second.status == 503)
        #expect(second.body.isEmpty)
        #expect(try HTTPAnswers.next(in: bytes, at: second.body.upperBound) == nil)
    }

    @Test(arguments: [("", 0), (#""verdict":"routed""#, 1), (#"["verdict":"routed","verdict":"routed"]"#, 2)])
    func `verdicts are counted`(text: String, count: Int) {
        let body = Array("ab\(text)".utf8)[2...]
        #expect(HTTPAnswers.routed(in: body) == count)
        #expect(HTTPAnswers.routed(in: Array("xx\(text.dropLast())".utf8)[2...]) <= max(0, count))
        #expect(HTTPAnswers.routed(in: Array(#"{"verdict":"offline"} "verdict":"route""#.utf8)[...]) == 0)
    }

    @Test(arguments: [
        "SMTP 1\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    ])
    func `what is no answer with a length is refused`(_ text: String) {
        #expect(throws: HTTPAnswers.Unreadable.self) { try HTTPAnswers.next(in: Array(text.utf8), at: 0) }
    }

    @Test func `a process's time and memory are read behind a name with blanks and parentheses`() throws {
        let stat = """
            4711 (a) (b c) S 1 4711 4711 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 9 0 100 1000000 2048 18446744073709551615 1
            """
        let usage = try #require(ProcessUsage(stat: stat, ticksPerSecond: 100, pageBytes: 4096))
        #expect(usage.cpuMicroseconds == 4_000_000)
        #expect(usage.residentBytes == 2048 * 4096)
        #expect(ProcessUsage(stat: "4711 (x) S 1", ticksPerSecond: 100, pageBytes: 4096) == nil)
        #expect((ProcessUsage.of(getpid())?.residentBytes ?? 0) > 1_000_000)
        #expect(ProcessUsage.of(-1) == nil)
    }

    @Test func `listeners of a port are found among other sockets`() {
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31337 1 0000
               1: 0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 31338 1 0000
               2: 0100007F:2328 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31339 1 0000
            """
        #expect(Listeners.inodes(in: table, port: 8080) == ["31337"])
        #expect(Listeners.inodes(in: table, port: 9000) == ["31339"])
        #expect(Listeners.inodes(in: table, port: 40_960).isEmpty)
    }

    @Test func `works are written as they are read`() {
        for work in BenchWork.all { #expect(BenchWork(work.description) == work) }
        #expect(BenchWork("unicast:5000/s") == .messages(.unicast, .rate(5000)))
        #expect(BenchWork("batch:8") == .messages(.batch, .inFlight(8)))
        for text in [
            "", "fan-out", "fan-out:", "fan-out:0", "fan-out:65", "fan-out:3/m", "room:3/s", "idle:3",
            "unicast:1:2",
        ] {
            #expect(BenchWork(text) == nil, "\(text)")
        }
    }

    @Test func `addresses of the load are read back`() throws {
        let address = try #require(LoadAddress("127.0.0.1:9001/ws"))
        #expect(address == LoadAddress(host: "localhost", port: 9001, path: "/ws"))
        #expect(LoadAddress(address.text) == address)
        #expect(address.isUsable)
        #expect(!LoadAddress(host: "example.org", port: 1, path: "/").isUsable)
        for text in ["", "127.0.0.1/ws", "127.0.0.1:70000/ws", "127.0.0.1:1"] {
            #expect(LoadAddress(text) == nil)
        }
    }
}
