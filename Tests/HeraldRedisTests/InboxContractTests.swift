import HeraldCore
import HeraldRedis
import HeraldTesting
import Testing

/// An inbox and the clock by which it judges.
struct InboxUnderTest: Sendable {
    let inbox: any Inbox
    /// Lets time pass by the inbox's clock.
    let pass: @Sendable (Duration) async throws -> Void
    let forget: @Sendable () async throws -> Void

    /// Stores one message that must be stored.
    @discardableResult
    func store(_ push: String, for owner: InboxOwner, isRepeat: Bool = false) async throws -> InboxPlace {
        let append = InboxAppend(
            owner: owner,
            push: try PushID(push),
            message: Message(event: push),
            isRepeat: isRepeat
        )
        return try await inbox.append([append])[0].get()
    }

    /// The ids of the pushes behind a place, read page by page; nil when it is not continuous.
    func pushes(_ owner: InboxOwner, after position: InboxPosition, limit: Int = 10) async throws -> [String]?
    {
        var pushes: [String] = []
        var place = position
        while true {
            let page = try await inbox.read(owner, after: place, limit: limit)
            guard page.isContinuous else { return nil }
            #expect(page.messages.count <= limit)
            pushes += page.messages.map(\.push.description)
            guard let last = page.messages.last, last.position != page.head else {
                #expect(page.messages.last.map { $0.position == page.head } ?? (place == page.head))
                return pushes
            }
            place = last.position
        }
    }
}

/// What every `Inbox` promises. Runs against the one in memory and the one on Redis.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct InboxContractTests {
    private let alice: InboxOwner
    private let news: InboxOwner

    init() throws {
        alice = .user(try UserID("alice"))
        news = .room(try RoomID("alice"))
    }

    private func withInbox(
        _ kind: Kind,
        _ change: (inout InboxRetention) -> Void = { _ in },
        _ body: @Sendable (InboxUnderTest) async throws -> Void
    ) async throws {
        var retention = InboxRetention()
        change(&retention)
        let kept = retention
        switch kind {
        case .memory:
            let inbox = MemoryInbox(retention: kept)
            let under = InboxUnderTest(
                inbox: inbox,
                pass: { inbox.advance(by: $0 + .milliseconds(1)) },
                forget: {
                    inbox.advance(by: .milliseconds(1))
                    inbox.forget()
                }
            )
            try await body(under)
        case .redis:
            try await withRedisTable { _, link async throws in
                let under = InboxUnderTest(
                    inbox: RedisInbox(link: link, retention: kept),
                    pass: { try await passTime($0, at: link) },
                    forget: {
                        // Histories that begin in one millisecond have the same epoch.
                        try await passTime(.milliseconds(1), at: link)
                        try await link.send(RedisCommand("FLUSHALL"))
                    }
                )
                try await body(under)
            }
        }
    }

    // MARK: Storing and reading

    @Test(arguments: Kind.allCases)
    func `offsets count up, and a page begins behind a place`(_ kind: Kind) async throws {
        try await withInbox(kind) { under async throws in
            let first = try await under.store("p1", for: alice)
            #expect(first.isNew && first.position.offset == 1 && first.position.epoch > 0)
            for number in 2...25 {
                let place = try await under.store("p\(number)", for: alice)
                let expected = InboxPosition(epoch: first.position.epoch, offset: UInt64(number))
                #expect(place == InboxPlace(position: expected, isNew: true))
            }
            #expect(
                try await under.pushes(alice, after: first.position) == (2...25).map { "p\($0)" }
            )
            let page = try await under.inbox.read(alice, after: first.position, limit: 3)
            #expect(page.messages.map(\.position.offset) == [2, 3, 4] && page.head.offset == 25)
            let end = try await under.inbox.read(alice, after: nil, limit: 3)
            #expect(end == InboxPage(isContinuous: true, messages: [], head: page.head))
            let rest = try await under.inbox.read(alice, after: page.head, limit: 3)
            #expect(rest == end)
        }
    }

    @Test(arguments: Kind.allCases)
    func `messages come back as they were`(_ kind: Kind) async throws {
        try await withInbox(kind) { under async throws in
            let start = try await under.inbox.read(alice, after: nil, limit: 1).head
            let messages = [
                Message(), Message(event: "é \"x\"", op: .min, payload: .json(Array(#"{"a":[1, 2]}"#.utf8))),
                Message(op: .max, payload: .binary([0, 255, 13, 10])), Message(payload: .binary([])),
            ]
            let owner = alice
            let places = try await under.inbox.append(
                messages.enumerated().map { index, message in
                    InboxAppend(owner: owner, push: try PushID("p\(index)"), message: message)
                }
            )
            let page = try await under.inbox.read(alice, after: start, limit: 100)
            #expect(page.messages.map(\.message) == messages)
            #expect(page.messages.map(\.push.description) == ["p0", "p1", "p2", "p3"])
            #expect(try places.map { try $0.get().position } == page.messages.map(\.position))
            #expect(page.messages.allSatisfy { $0.at.milliseconds >= start.epoch })
        }
    }

    @Test(arguments: Kind.allCases)
    func `a user and a room of one name have two inboxes`(_ kind: Kind) async throws {
        try await withInbox(kind) { under async throws in
            let mine = try await under.inbox.read(alice, after: nil, limit: 1).head
            let theirs = try await under.inbox.read(news, after: nil, limit: 1).head
            let owners = [alice, news, alice]
            let places = try await under.inbox.append(
                owners.enumerated().map { index, owner in
                    InboxAppend(owner: owner, push: try PushID("p\(index)"), message: Message())
                }
            )
            #expect(try places.map { try $0.get().position.offset } == [1, 1, 2])
            #expect(try await under.pushes(alice, after: mine) == ["p0", "p2"])
            #expect(try await under.pushes(news, after: theirs) == ["p1"])
            try await under.inbox.delete(alice)
            #expect(try await under.pushes(news, after: theirs) == ["p1"])
        }
    }

    @Test(arguments: Kind.allCases)
    func `large messages come in several pages`(_ kind: Kind) async throws {
        try await withInbox(kind) { under async throws in
            let start = try await under.inbox.read(alice, after: nil, limit: 1).head
            let large = Message(payload: .binary([UInt8](repeating: 7, count: 256 * 1024)))
            let owner = alice
            let places = try await under.inbox.append(
                (0..<20).map { InboxAppend(owner: owner, push: try PushID("p\($0)"), message: large) }
            )
            #expect(try places.map { try $0.get().position.offset } == Array(1...20))
            #expect(try await under.pushes(alice, after: start, limit: 100) == (0..<20).map { "p\($0)" })
        }
    }

    // MARK: Repeats

    @Test(arguments: Kind.allCases)
    func `a repeat is stored once`(_ kind: Kind) async throws {
        try await withInbox(kind) { under async throws in
            let first = try await under.store("again", for: alice, isRepeat: true)
            #expect(first.isNew)
            for number in 1...63 { try await under.store("p\(number)", for: alice) }
            let found = try await under.store("again", for: alice, isRepeat: true)
            #expect(found == InboxPlace(position: first.position, isNew: false))
            // Where nobody says that it may be one, nothing is looked for; nor is it in another inbox.
            #expect(try await under.store("p63", for: alice).position.offset == 65)
            #expect(try await under.store("again", for: news, isRepeat: true).isNew)
            // The last 64 are looked at, and no others.
            let late = try await under.store("again", for: alice, isRepeat: true)
            #expect(late.isNew && late.position.offset == 66)
        }
    }

    // MARK: What is not continuous

    @Test(arguments: Kind.allCases)
    func `who read before the first message is shown it`(_ kind: Kind) async throws {
        try await withInbox(kind) { under async throws in
            let page = try await under.inbox.read(alice, after: nil, limit: 1)
            #expect(page.isContinuous && page.head.offset == 0 && page.head.epoch > 0)
            try await under.store("p1", for: alice)
            #expect(try await under.pushes(alice, after: page.head) == ["p1"])
        }
    }

    @Test(arguments: Kind.allCases)
    func `who knows nothing, or what never was, is told so`(_ kind: Kind) async throws {
        try await withInbox(kind) { under async throws in
            let place = try await under.store("p1", for: alice).position
            let unknown = [
                InboxPosition(epoch: 0, offset: 0), InboxPosition(epoch: place.epoch, offset: 2),
                InboxPosition(epoch: place.epoch + 1, offset: 1), InboxPosition(epoch: .max, offset: .max),
            ]
            for position in unknown {
                let page = try await under.inbox.read(alice, after: position, limit: 9)
                #expect(page == InboxPage(isContinuous: false, messages: [], head: place))
            }
        }
    }

    @Test(arguments: Kind.allCases)
    func `all data lost is a new epoch`(_ kind: Kind) async throws {
        try await withInbox(kind) { under async throws in
            let place = try await under.store("p1", for: alice).position
            let empty = try await under.inbox.read(news, after: nil, limit: 1).head
            try await under.forget()
            #expect(try await under.pushes(alice, after: place) == nil)
            #expect(try await under.pushes(news, after: empty) == nil)
            let after = try await under.store("p2", for: alice).position
            #expect(after.epoch > place.epoch && after.offset == 1)
            #expect(try await under.pushes(alice, after: place) == nil)
        }
    }

    @Test(arguments: Kind.allCases)
    func `a deleted inbox is a new epoch`(_ kind: Kind) async throws {
        try await withInbox(kind) { under async throws in
            try await under.inbox.delete(alice)
            var place = try await under.store("p1", for: alice).position
            // At once, so that a millisecond sees several.
            for _ in 0..<20 {
                try await under.inbox.delete(alice)
                #expect(try await under.inbox.browse(alice, after: nil, limit: 9).messages == [])
                #expect(try await under.pushes(alice, after: place) == nil)
                let next = try await under.store("p2", for: alice).position
                #expect(next.epoch > place.epoch && next.offset == 1)
                place = next
            }
        }
    }

    // MARK: Retention

    @Test(arguments: Kind.allCases)
    func `the newest stay, and who is behind them is told`(_ kind: Kind) async throws {
        try await withInbox(kind, { $0.countMax = 200 }) { under async throws in
            let owner = alice
            let start = try await under.inbox.read(alice, after: nil, limit: 1).head
            let places = try await under.inbox.append(
                (1...1000).map { InboxAppend(owner: owner, push: try PushID("p\($0)"), message: Message()) }
            )
            let head = try #require(try places.last?.get().position)
            var place = InboxPosition(epoch: head.epoch, offset: 800)
            #expect(try await under.pushes(alice, after: place, limit: 64) == (801...1000).map { "p\($0)" })
            place.offset = 600
            #expect(try await under.pushes(alice, after: place) == nil)
            #expect(try await under.pushes(alice, after: start) == nil)
            // Who only looks is shown what there is.
            let page = try await under.inbox.browse(alice, after: start, limit: 1000)
            #expect(!page.isContinuous && (200...300).contains(page.messages.count))
            #expect(page.messages.last?.position == head && page.head == head)
            let oldest = try await under.inbox.browse(alice, after: nil, limit: 1).messages
            #expect(oldest == Array(page.messages.prefix(1)))
        }
    }

    @Test(arguments: Kind.allCases)
    func `old messages go with the next, and an inbox without news ends`(_ kind: Kind) async throws {
        let age = Duration.seconds(60)
        try await withInbox(kind, { $0.age = age }) { under async throws in
            var last = InboxPosition(epoch: 0, offset: 0)
            for number in 1...5 { last = try await under.store("old\(number)", for: alice).position }
            try await under.pass(age * 0.75)
            let middle = try await under.store("middle", for: alice).position
            try await under.pass(age * 0.5)
            try await under.store("new", for: alice)
            #expect(
                try await under.inbox.browse(alice, after: nil, limit: 9).messages.map(\.push.description)
                    == ["middle", "new"]
            )
            #expect(try await under.pushes(alice, after: last) == ["middle", "new"])
            last.offset -= 1
            #expect(try await under.pushes(alice, after: last) == nil)
            try await under.pass(age * 1.25)
            #expect(try await under.pushes(alice, after: middle) == nil)
            try await under.pass(age * 1.25)
            let next = try await under.store("next", for: alice).position
            #expect(next.epoch > middle.epoch && next.offset == 1)
        }
    }

    @Test(arguments: Kind.allCases)
    func `a reader keeps its place in an inbox without messages`(_ kind: Kind) async throws {
        let age = Duration.seconds(60)
        try await withInbox(kind, { $0.age = age }) { under async throws in
            let place = try await under.store("p1", for: alice).position
            for _ in 0..<6 {
                try await under.pass(age * 0.5)
                #expect(try await under.pushes(alice, after: place) == [])
            }
            #expect(try await under.inbox.browse(alice, after: nil, limit: 9).messages == [])
            #expect(try await under.store("p2", for: alice).position.offset == 2)
            #expect(try await under.pushes(alice, after: place) == ["p2"])
        }
    }
}
