import HeraldCore

/// Which pages of which incarnations' indexes are walked next.
///
/// An incarnation whose lease is over is walked at once, and for ten minutes now and then: a bind of it that was held
/// up somewhere may still come. A live one is walked once a minute for mappings that nobody renewed.
struct WalkPlan: Sendable {
    /// A place in one index.
    struct Page: Hashable, Sendable {
        var incarnation: String
        var partition: Int
        /// Redis's cursor; `0` is the first page.
        var cursor = "0"
        var verdict: Verdict
    }

    enum Verdict: Hashable, Sendable {
        case dead(deadline: RedisTime)
        case live
    }

    /// Between two walks of a dead incarnation: 16 calls for nothing, mostly.
    static let deadAgain: Duration = .seconds(30)
    static let liveAgain: Duration = .seconds(60)
    /// How long after its lease an incarnation stays listed: far longer than any command is held up.
    static let listedFor: Duration = .seconds(600)

    private struct Walked {
        var isDead: Bool
        var at: Moment
    }

    private var walked: [String: Walked] = [:]
    /// The dead before the living; each list is worked off from its end.
    private var dead: [Page] = []
    private var live: [Page] = []

    /// How many dead incarnations had connections left that departed with them.
    private(set) var fenced: UInt64 = 0
    private var fencedNames: Set<String> = []

    var hasDead: Bool { !dead.isEmpty }

    /// Takes in the list of incarnations as it stands.
    ///
    /// - Parameters:
    ///   - listed: each with its lease's deadline, and whether it holds a live one.
    ///   - now: by this host's clock.
    ///   - time: the same moment by Redis's.
    /// - Returns: the names whose time on the list is over.
    mutating func update(
        _ listed: [(name: String, deadline: RedisTime, isLive: Bool)],
        at now: Moment,
        _ time: RedisTime
    ) -> [String] {
        var over: [String] = []
        for (name, deadline, isLive) in listed {
            if isLive {
                guard isDue(name, isDead: false, at: now) else { continue }
                walked[name] = Walked(isDead: false, at: now)
                live += Self.pages(of: name, .live)
            } else if isDue(name, isDead: true, at: now) {
                walked[name] = Walked(isDead: true, at: now)
                live.removeAll { $0.incarnation == name }
                dead += Self.pages(of: name, .dead(deadline: deadline))
                if deadline + Self.listedFor < time { over.append(name) }
            }
        }
        let names = Set(listed.map(\.name))
        walked = walked.filter { names.contains($0.key) }
        fencedNames.formIntersection(names)
        return over
    }

    private func isDue(_ name: String, isDead: Bool, at now: Moment) -> Bool {
        guard let last = walked[name], last.isDead == isDead else { return true }
        return last.at + (isDead ? Self.deadAgain : Self.liveAgain) <= now
    }

    private static func pages(of name: String, _ verdict: Verdict) -> [Page] {
        (0..<PresencePartition.count).reversed().map {
            Page(incarnation: name, partition: $0, verdict: verdict)
        }
    }

    mutating func next() -> Page? { dead.popLast() ?? live.popLast() }

    /// Takes in where the next page of the same index begins, and how many connections departed.
    ///
    /// - Returns: whether these are the first of a dead incarnation.
    mutating func answered(_ page: Page, next cursor: String, departed: Int64) -> Bool {
        if cursor != "0" {
            var next = page
            next.cursor = cursor
            putBack(next)
        }
        guard departed > 0, page.verdict != .live, fencedNames.insert(page.incarnation).inserted else {
            return false
        }
        fenced += 1
        return true
    }

    /// The page was not answered, or not for now.
    mutating func putBack(_ page: Page) {
        switch page.verdict {
        case .dead: dead.append(page)
        case .live: live.append(page)
        }
    }

    /// Others may have walked meanwhile.
    mutating func forget() {
        walked = [:]
        dead = []
        live = []
    }
}
