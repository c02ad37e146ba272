import HeraldCore
import HeraldRedis
import HeraldTesting
import Testing

/// The scripts of inboxes as a value against the scripts in Redis: what the tests above Redis rely on.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct InboxDifferentialTests {
    /// Sixty sequences of forty commands a seed; a failure names the seed and the round.
    @Test(arguments: 1...4)
    func `the scripts as a value and in Redis decide alike`(seed: Int) async throws {
        // With one message a block, Redis trims as exactly as the value does.
        try await OwnRedis.with(["--stream-node-max-entries", "1"]) { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                var dice = InboxDice(seed: UInt64(seed))
                for round in 0..<60 {
                    var pair = try InboxPair(link: link, round: round)
                    for step in 0..<40 {
                        try await pair.step(&dice, "seed \(seed), round \(round), step \(step)")
                    }
                }
            }
        }
    }
}

/// Random numbers, replayable by a seed.
struct InboxDice {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

    mutating func roll(_ sides: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(sides))
    }
}

/// One inbox twice. Epochs are moments of two clocks, so they are compared by the order in which they came up.
private struct InboxPair {
    let link: RedisLink
    let inbox: RedisInbox
    let owner: InboxOwner
    let headKey: String
    var record = InboxRecord()
    let retention: InboxRetention
    var now = RedisTime(milliseconds: 1_700_000_000_000)
    var run = 0
    var pushes = 0
    /// Places that were told: the same one by Redis and by the value.
    var places: [(redis: InboxPosition, value: InboxPosition)] = []

    init(link: RedisLink, round: Int) throws {
        var retention = InboxRetention()
        retention.countMax = 5
        self.retention = retention
        self.link = link
        inbox = RedisInbox(link: link, retention: retention)
        owner = .user(try UserID("user-\(round)"))
        headKey = "herald:inbox:{user-\(round)}:head"
        places = [(InboxPosition(epoch: 0, offset: 0), InboxPosition(epoch: 0, offset: 0))]
    }

    mutating func step(_ dice: inout InboxDice, _ name: Comment) async throws {
        now = now + .milliseconds(1)
        switch dice.roll(10) {
        case 0...3: try await append(&dice, name)
        case 4...6: try await read(&dice, alsoBroken: false, name)
        case 7: try await read(&dice, alsoBroken: true, name)
        case 8:
            // Another run is one whose name is not in the head.
            run += 1
            if try await link.send(RedisCommand("EXISTS", .text(headKey))).number == 1 {
                try await link.send(RedisCommand("HSET", .text(headKey), "run", .text("run-\(run)")))
            }
        default:
            guard dice.roll(4) == 0 else { return }
            try await inbox.delete(owner)
            record.delete(run: "\(run)", keep: retention, at: now)
        }
    }

    private mutating func append(_ dice: inout InboxDice, _ name: Comment) async throws {
        let isRepeat = dice.roll(3) == 0
        if !isRepeat || dice.roll(2) == 0 { pushes += 1 }
        let push = try PushID("p\(max(1, pushes - (isRepeat ? dice.roll(8) : 0)))")
        let append = InboxAppend(
            owner: owner,
            push: push,
            message: Message(event: "\(push)"),
            isRepeat: isRepeat
        )
        let found = try await inbox.append([append])[0].get()
        let expected = record.append(append, run: "\(run)", keep: retention, at: now)
        #expect(found.isNew == expected.isNew, name)
        note(found.position, expected.position, name)
    }

    private mutating func read(
        _ dice: inout InboxDice,
        alsoBroken: Bool,
        _ name: Comment
    ) async throws {
        var place = dice.roll(8) == 0 ? nil : places[dice.roll(places.count)]
        if dice.roll(6) == 0 { place = place.map { (Self.moved($0.redis, &dice), $0.value) } }
        if let shifted = place?.redis.offset { place?.value.offset = shifted }
        let limit = 1 + dice.roll(8)
        let page =
            alsoBroken
            ? try await inbox.browse(owner, after: place?.redis, limit: limit)
            : try await inbox.read(owner, after: place?.redis, limit: limit)
        let expected = record.read(
            after: place?.value,
            limit: !alsoBroken && place == nil ? 0 : limit,
            alsoBroken: alsoBroken,
            run: "\(run)",
            keep: retention,
            at: now
        )
        #expect(page.isContinuous == expected.isContinuous, name)
        #expect(page.messages.map(\.push) == expected.messages.map(\.push), name)
        #expect(page.messages.map(\.message) == expected.messages.map(\.message), name)
        for (found, wanted) in zip(page.messages, expected.messages) {
            note(found.position, wanted.position, name)
        }
        note(page.head, expected.head, name)
    }

    /// A place that nobody was told.
    private static func moved(_ position: InboxPosition, _ dice: inout InboxDice) -> InboxPosition {
        let offsets: [UInt64] = [0, 1, 2, 500_000, InboxPosition.jump, 3 * InboxPosition.jump]
        var position = position
        position.offset = position.offset / 2 + offsets[dice.roll(offsets.count)]
        return position
    }

    private mutating func note(_ found: InboxPosition, _ expected: InboxPosition, _ name: Comment) {
        #expect(found.offset == expected.offset, name)
        for place in places {
            #expect((place.redis.epoch == found.epoch) == (place.value.epoch == expected.epoch), name)
            #expect((place.redis.epoch < found.epoch) == (place.value.epoch < expected.epoch), name)
        }
        if !places.contains(where: { $0.redis == found }) { places.append((found, expected)) }
    }
}
