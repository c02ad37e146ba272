import Foundation
import HeraldCore
import HeraldRedis
import HeraldTesting
import Testing

/// What Redis's own troubles do to inboxes.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct InboxTroubleTests {
    private let alice: InboxOwner
    private let bob: InboxOwner
    private let carol: InboxOwner

    init() throws {
        alice = .user(try UserID("alice"))
        bob = .user(try UserID("bob"))
        carol = .room(try RoomID("carol"))
    }

    private func message(_ push: String, _ owner: InboxOwner) throws -> InboxAppend {
        InboxAppend(owner: owner, push: try PushID(push), message: Message(event: push))
    }

    // MARK: Refusals

    @Test func `a key of somebody else's fails alone and is left alone`() async throws {
        try await withRedisTable { _, link async throws in
            let inbox = RedisInbox(link: link)
            try await link.send(RedisCommand("SET", "herald:inbox:{bob}", "theirs"))
            try await link.send(RedisCommand("SET", "herald:inbox:room:{carol}:head", "theirs"))
            let owners = [alice, bob, carol, alice]
            let places = try await inbox.append(
                owners.enumerated().map { try message("p\($0)", $1) }
            )
            #expect(try places[0].get().position.offset == 1 && places[3].get().position.offset == 2)
            for (place, owner) in [(places[1], bob), (places[2], carol)] {
                guard case .failure(.corrupt) = place else {
                    Issue.record("\(place) is no refusal")
                    continue
                }
                await #expect(throws: InboxError.self) { try await inbox.delete(owner) }
            }
            #expect(try await link.send(RedisCommand("GET", "herald:inbox:{bob}")).text == "theirs")
            #expect(
                try await link.send(RedisCommand("GET", "herald:inbox:room:{carol}:head")).text == "theirs"
            )
            #expect(try await link.send(RedisCommand("EXISTS", "herald:inbox:{bob}:head")).number == 0)
            await #expect(throws: InboxError.self) { try await inbox.read(carol, after: nil, limit: 1) }
        }
    }

    @Test(arguments: [
        ["3-0", "a", "b"], ["3-0", "push", "p", "at", "now"], ["3-0", "push", "a b", "at", "7"],
        ["3-7", "push", "p", "at", "7"],
    ])
    func `an entry that is no message is told as such`(words: [String]) async throws {
        try await withRedisTable { _, link async throws in
            let inbox = RedisInbox(link: link)
            let place = try await inbox.append([message("p1", alice), message("p2", alice)])[0].get().position
            try await link.send(
                RedisCommand("XADD", arguments: ["herald:inbox:{alice}"] + words.map { .text($0) })
            )
            try await link.send(RedisCommand("HSET", "herald:inbox:{alice}:head", "offset", 3))
            let error = await #expect(throws: InboxError.self) {
                try await inbox.read(alice, after: place, limit: 9)
            }
            #expect(error == .corrupt("the inbox of alice holds what is no message"))
        }
    }

    @Test func `a full Redis keeps nothing more, shows what it has and can be emptied`() async throws {
        try await withRedisTable { _, link async throws in
            let inbox = RedisInbox(link: link)
            let start = try await inbox.read(alice, after: nil, limit: 1).head
            let first = try await inbox.append([message("p1", alice)])[0].get()
            try await link.send(RedisCommand("CONFIG", "SET", "maxmemory", "1"))
            for place in try await inbox.append([message("p2", alice), message("p3", bob)]) {
                guard case .failure(.full) = place else {
                    Issue.record("\(place) is no refusal")
                    continue
                }
            }
            let page = try await inbox.read(alice, after: start, limit: 9)
            #expect(page.isContinuous && page.messages.map(\.position) == [first.position])
            // Who asks for an inbox that cannot be begun gets a place that nothing will continue.
            let nowhere = try await inbox.read(bob, after: nil, limit: 1).head
            #expect(nowhere.epoch == 0)
            try await link.send(RedisCommand("CONFIG", "SET", "maxmemory", "0"))
            let second = try await inbox.append([message("p4", alice)])[0].get()
            #expect(second.position == InboxPosition(epoch: first.position.epoch, offset: 2))
            _ = try await inbox.append([message("p5", bob)])
            #expect(try await inbox.read(bob, after: nowhere, limit: 9).isContinuous == false)
            try await link.send(RedisCommand("CONFIG", "SET", "maxmemory", "1"))
            try await inbox.delete(alice)
            #expect(try await inbox.browse(alice, after: nil, limit: 9).messages == [])
            #expect(try await inbox.read(alice, after: second.position, limit: 9).isContinuous == false)
        }
    }

    @Test func `without INFO nobody knows the run, and nothing is stored`() async throws {
        try await OwnRedis.with(["--user", "app", "on", ">secret", "~*", "&*", "+@all", "-info"]) {
            redis async throws in
            try await withLink(to: "redis://app:secret@127.0.0.1:\(redis.port)") { link async throws in
                let inbox = RedisInbox(link: link)
                let error = await #expect(throws: InboxError.self) {
                    try await inbox.append([message("p1", alice)])
                }
                #expect(error?.description.contains("INFO") == true)
                #expect(try await link.send(RedisCommand("DBSIZE")).number == 0)
            }
        }
    }

    @Test func `without a Redis an inbox is out of reach`() async throws {
        let options = quickOptions { $0.limits.outageGrace = .milliseconds(20) }
        try await withLink(to: "redis://127.0.0.1:1", options, waits: false) { link async throws in
            let inbox = RedisInbox(link: link)
            let error = await #expect(throws: InboxError.self) {
                try await inbox.append([message("p1", alice)])
            }
            guard case .unavailable = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
    }

    // MARK: Connections and runs

    @Test func `commands of one connection never leave over the next`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                let first = link.status
                #expect(first.run?.count == 40)
                let ping = [RedisCommand("PING")]
                #expect(try await link.send(ping, on: first.connections) == [.status("PONG")])
                try await redis.restart()
                await untilConnected(link, times: 2)
                let error = await #expect(throws: RedisError.self) {
                    try await link.send([RedisCommand("SET", "a", 1)], on: first.connections)
                }
                #expect(error?.code == .unavailable)
                #expect(try await link.send(RedisCommand("EXISTS", "a")).number == 0)
                #expect(link.status.run?.count == 40 && link.status.run != first.run)
            }
        }
    }

    @Test func `a new connection to the same Redis loses nobody's place`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                let inbox = RedisInbox(link: link)
                let place = try await inbox.append([message("p1", alice)])[0].get().position
                _ = try await withLink(to: redis.url) { other async throws in
                    try await other.send(RedisCommand("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
                }
                await untilConnected(link, times: 2)
                let next = try await inbox.append([message("p2", alice)])[0].get().position
                #expect(next.offset == 2)
                let page = try await inbox.read(alice, after: place, limit: 9)
                #expect(page.isContinuous && page.messages.map(\.position) == [next])
            }
        }
    }

    /// Appends without pause until Redis is killed in the middle; then the end of its log is cut off, as a power
    /// failure within the second between two fsyncs would. Whatever Redis answered and then lost, no reader is told
    /// that it missed nothing.
    @Test(arguments: [0, 1, 700, 20_000])
    func `what a crash lost is never passed off as complete`(bytesCut: Int) async throws {
        let arguments = ["--appendonly", "yes", "--appendfsync", "everysec"]
        try await OwnRedis.with(arguments) { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                let inbox = RedisInbox(link: link)
                let start = try await inbox.read(alice, after: nil, limit: 1).head
                let before = try await appendUntilDead(inbox) { count in
                    if count == 400 { redis.kill() }
                }
                #expect(before.count >= 400)
                try cutLog(of: redis, bytes: bytesCut)
                try await redis.restart()
                await untilConnected(link, times: 2)
                let kept = try await inbox.browse(alice, after: start, limit: 10_000).messages.map(\.position)
                if bytesCut >= 20_000 { #expect(kept.count < before.count - 20) }

                // Readers from before, whatever they have seen, ask before and after the next append.
                var readers = [start] + before
                try await judge(readers, inbox, stored: before)
                let after = try await inbox.append((0..<20).map { try message("later\($0)", alice) })
                let later = try after.map { try $0.get().position }
                #expect(Set(before).isDisjoint(with: later) && later[0].epoch == start.epoch)
                try await judge(readers, inbox, stored: before + later)

                // Who came after goes on.
                readers = later
                for (index, reader) in readers.enumerated() {
                    let page = try await inbox.read(alice, after: reader, limit: 100)
                    #expect(
                        page.isContinuous && page.messages.map(\.position) == Array(later[(index + 1)...])
                    )
                }
            }
        }
    }

    /// Where a reader is told that it missed nothing, it is shown all that was stored behind its place.
    private func judge(_ readers: [InboxPosition], _ inbox: RedisInbox, stored: [InboxPosition]) async throws
    {
        for reader in readers {
            let page = try await inbox.read(alice, after: reader, limit: 10_000)
            guard page.isContinuous else { continue }
            let missed = stored.filter { $0.offset > reader.offset }
            #expect(page.messages.map(\.position) == missed, "a reader at \(reader)")
        }
    }

    /// - Returns: the places that were answered.
    private func appendUntilDead(
        _ inbox: RedisInbox,
        _ happened: (Int) -> Void
    ) async throws -> [InboxPosition] {
        var places: [InboxPosition] = []
        while true {
            do throws(InboxError) {
                let push = PushID.made(places.count)
                let append = InboxAppend(owner: alice, push: push, message: Message(event: "e"))
                for place in try await inbox.append([append]) { places.append(try place.get().position) }
            } catch {
                return places
            }
            happened(places.count)
        }
    }

    private func cutLog(of redis: OwnRedis, bytes: Int) throws {
        let folder = URL(filePath: redis.folder).appending(path: "appendonlydir")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        let log = try #require(files.first { $0.lastPathComponent.hasSuffix(".incr.aof") })
        let handle = try FileHandle(forUpdating: log)
        let size = try handle.seekToEnd()
        try handle.truncate(atOffset: size - min(size, UInt64(bytes)))
        try handle.close()
    }
}

extension PushID {
    fileprivate static func made(_ number: Int) -> PushID {
        var source = PushIDSource(random: UInt64(number))
        return source.next()
    }
}
