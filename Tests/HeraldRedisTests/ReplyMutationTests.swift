import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldRedis

/// Replies of Redis, damaged at random: they are read the same wherever they are cut, and whatever they say, whoever
/// decodes them finds something or nothing, and traps at nothing.
struct ReplyMutationTests {
    private static let mapping = "$40\r\ncloud-1#7.42 1712345678901 1800000000000\r\n"
    private static let seeds: [String] = [
        "*2\r\n$10\r\n1712345678\r\n$4\r\n5000\r\n",
        "*2\r\n:1712345678\r\n:5000\r\n",
        "*2\r\n$5\r\nphone\r\n" + mapping,
        "*3\r\n$4\r\nfull\r\n$5\r\nphone\r\n" + mapping + mapping,
        "*2\r\n$4\r\n42-0\r\n*6\r\n$4\r\npush\r\n$1\r\np\r\n$2\r\nat\r\n$2\r\n17\r\n$2\r\nop\r\n$2\r\n-7\r\n",
        "*2\r\n$4\r\n17-0\r\n*4\r\n$1\r\nn\r\n$1\r\n5\r\n$1\r\ne\r\n$3\r\nabc\r\n",
        "$11\r\nm17-0 5 abc\r\n$7\r\np0-0 0 \r\n$14\r\nu alice\nr news\r\n$12\r\nrouted=3 x=4\r\n",
        "*2\r\n$7\r\ncloud-1\r\n$13\r\n1800000000000\r\n-WRONGTYPE Operation\r\n*-1\r\n$-1\r\n",
    ]

    @Test func `damaged replies are read the same wherever they are cut, and decoded without a trap`() throws
    {
        var values = 0
        var refusals = 0
        try Mutations.each(of: Self.seeds.map { Array($0.utf8) }) { bytes, cut, run in
            let whole = try read([bytes[...]])
            let parts = try read([bytes[..<cut], bytes[cut...]])
            #expect(whole == parts, "run \(run)")
            values += whole.values.count
            if whole.isRefused { refusals += 1 }
            for value in whole.values { decode(value) }
            _ = BusPacket(bytes)
        }
        #expect(values > Mutations.runs / 4 && refusals > Mutations.runs / 20)
    }

    /// Found by libFuzzer: the numbers of a TIME that nobody has were multiplied.
    @Test(arguments: [
        ("1712345678", "5000", UInt64?(1_712_345_678_005)), ("0", "999999", 999), ("0", "1000000", nil),
        ("-1", "0", nil), ("0", "-1", nil), ("9223372036854775807", "0", nil), ("x", "0", nil),
    ])
    func `a time is one that a clock may show`(seconds: String, microseconds: String, milliseconds: UInt64?) {
        let reply = RedisValue.array([.string(Array(seconds.utf8)), .string(Array(microseconds.utf8))])
        #expect(RouteText.time(reply)?.milliseconds == milliseconds)
    }

    private struct Outcome: Equatable {
        var values: [RedisValue] = []
        var isRefused = false
    }

    private func read(_ pieces: [ArraySlice<UInt8>]) throws -> Outcome {
        var outcome = Outcome()
        let reader = try RedisReader(replyBytesMax: 4096)
        do {
            for piece in pieces {
                try Array(piece).withUnsafeBytes { try reader.feed($0) }
                while let value = try reader.next() { outcome.values.append(value) }
            }
        } catch { outcome.isRefused = true }
        return outcome
    }

    /// Lets everybody have it who reads something of the kind.
    private func decode(_ value: RedisValue) {
        let elements = value.elements ?? []
        let name = UserKey(user: UserID(anonymous: 1), key: ConnectionKey(generated: 1))
        _ = RouteText.time(value)
        _ = FullUser(name.user, value)
        _ = InboxText.message(value, epoch: 7)
        _ = InboxText.position(elements)
        _ = PresenceText.entry(value, partition: 3)
        _ = HopMessage(entry: value)
        _ = ListedNode.prune(ListedNode.read(elements), at: RedisTime(milliseconds: 1_000_000))
        _ = JobText.record(JobID.named(byCaller: "a"), elements)
        if case .string(let bytes) = value {
            _ = BusPacket(bytes)
            _ = RouteText.route(name, bytes)
        }
        if let text = value.text {
            _ = JobText.targets(text)
            _ = JobText.verdicts(text)
        }
        for element in elements { decode(element) }
    }
}
