import HeraldCore
import Testing

@testable import HeraldCloud

/// The hub against a naive one: pushes of every kind, sessions and members that come and go, slices of any size.
///
/// Whoever is aimed at when a push arrives and stays so until it has gone out must get it; whoever is aimed at for
/// a while only may; nobody else does, nobody gets one twice, and each gets them in the order of their arrival.
struct HubModelTests {
    @Test(arguments: 1...150)
    func `everybody gets what is meant for them, once and in order`(seed: Int) {
        var world = HubWorld(seed: UInt64(seed))
        for _ in 0..<300 { world.step() }
        while world.shard.deliver(budget: 50) {}
        world.announceAll()
        for session in world.sessions {
            let got = world.got(session)
            #expect(zip(got, got.dropFirst()).allSatisfy(<), "seed \(seed): \(session.name) got \(got)")
            for push in world.pushes {
                let isGot = got.contains(push.number)
                if push.must.contains(session.number) {
                    #expect(isGot, "seed \(seed): \(session.name) missed \(push)")
                }
                if isGot {
                    #expect(push.may.contains(session.number), "seed \(seed): \(session.name) \(push)")
                }
            }
        }
        #expect(world.shard.hub.queue.walks.isEmpty && world.shard.hub.queue.walks.messageCount == 0)
        #expect(world.shard.hub.counts.finishedBytes == world.bytes)
    }
}

private struct HubWorld {
    struct Session {
        var number: Int
        var slot: Int
        var name: String
        var rooms: Set<String> = []
        var isHeld: Bool
        /// The place in `Shard.sent` where its slot became its own, and where it was given up.
        var from: Int
        var to: Int?
    }

    struct Push {
        var number: Int
        var targets: [Target]
        var exclude: [String]
        var must: Set<Int> = []
        var may: Set<Int> = []
        var isSettled = false
    }

    var shard = Shard()
    var dice: Dice
    var sessions: [Session] = []
    var pushes: [Push] = []
    var bytes = 0

    static let slots = 24
    static let rooms = ["a", "b", "c"]

    init(seed: UInt64) {
        dice = Dice(seed: seed)
        for _ in 0..<15 { attach() }
    }

    mutating func roll(_ sides: Int) -> Int { Int(dice.next() % UInt64(sides)) }

    mutating func step() {
        switch roll(16) {
        case 0, 1: attach()
        case 2: change { $0.detach($1) }
        case 3, 4: change { $0.join($1) }
        case 5: change { $0.leave($1) }
        case 6:
            // Early enough that no more is kept than may be.
            if let index = sessions.firstIndex(where: { $0.isHeld && $0.to == nil }) { announce(index) }
        case 7, 8, 9, 10: push()
        default:
            let isMore = shard.deliver(budget: 1 + roll(12))
            if !isMore { for index in pushes.indices { pushes[index].isSettled = true } }
        }
    }

    private mutating func change(_ event: (inout Self, Int) -> Void) {
        let open = sessions.indices.filter { sessions[$0].to == nil }
        guard !open.isEmpty else { return }
        event(&self, open[roll(open.count)])
    }

    private mutating func attach() {
        let taken = Set(sessions.filter { $0.to == nil }.map(\.slot))
        guard let slot = (0..<Self.slots).first(where: { !taken.contains($0) }) else { return }
        let session = Session(
            number: sessions.count,
            slot: slot,
            name: "user\(roll(5))/k\(sessions.count)",
            isHeld: roll(4) == 0,
            from: shard.sent.count
        )
        shard.attach(slot, session.name, announced: !session.isHeld)
        sessions.append(session)
        nowAimedAt(session)
        for _ in 0..<roll(3) { join(sessions.count - 1) }
    }

    private mutating func detach(_ index: Int) {
        sessions[index].to = shard.sent.count
        _ = shard.hub.detach(sessions[index].slot)
        // What was kept for one that was never announced goes with it.
        for push in pushes.indices where !pushes[push].isSettled || sessions[index].isHeld {
            pushes[push].must.remove(sessions[index].number)
        }
    }

    private mutating func join(_ index: Int) {
        let room = Self.rooms[roll(3)]
        guard sessions[index].rooms.insert(room).inserted else { return }
        _ = shard.hub.join(sessions[index].slot, RoomID(fixed: room))
        nowAimedAt(sessions[index])
    }

    private mutating func leave(_ index: Int) {
        let room = Self.rooms[roll(3)]
        guard sessions[index].rooms.remove(room) != nil else { return }
        _ = shard.hub.leave(sessions[index].slot, RoomID(fixed: room))
        for push in pushes.indices where !pushes[push].isSettled {
            if pushes[push].targets.contains(.room(RoomID(fixed: room))) {
                pushes[push].must.remove(sessions[index].number)
            }
        }
    }

    private mutating func announce(_ index: Int) {
        guard sessions[index].isHeld else { return }
        sessions[index].isHeld = false
        shard.announce(sessions[index].slot)
    }

    mutating func announceAll() {
        for index in sessions.indices where sessions[index].to == nil { announce(index) }
    }

    /// It may get what is still under way, except what it was excluded from.
    private mutating func nowAimedAt(_ session: Session) {
        for index in pushes.indices where !pushes[index].isSettled && isAimedAt(session, pushes[index]) {
            pushes[index].may.insert(session.number)
        }
    }

    private mutating func push() {
        var push = Push(number: pushes.count, targets: [], exclude: [])
        for _ in 0...(roll(3) == 0 ? 2 : 0) {
            switch roll(8) {
            case 0: push.targets.append(.user(UserID(fixed: "user\(roll(5))")))
            case 1: if let name = anyName() { push.targets.append(.key(UserKey(fixed: name))) }
            case 2: push.targets.append(.everyone)
            default: push.targets.append(.room(RoomID(fixed: Self.rooms[roll(3)])))
            }
        }
        if roll(4) == 0, let name = anyName() { push.exclude.append(name) }
        for session in sessions where session.to == nil && isAimedAt(session, push) {
            push.must.insert(session.number)
            push.may.insert(session.number)
        }
        let isFollowed = roll(6) == 0
        let query = ReceiptQuery(ticket: 1, confirm: .written, patience: .seconds(1))
        let bytesBefore = shard.pushedBytes
        shard.push("p\(push.number)", push.targets, exclude: push.exclude, query: isFollowed ? query : nil)
        bytes += shard.pushedBytes - bytesBefore
        pushes.append(push)
    }

    private mutating func anyName() -> String? {
        let open = sessions.filter { $0.to == nil }
        return open.isEmpty ? nil : open[roll(open.count)].name
    }

    private func isAimedAt(_ session: Session, _ push: Push) -> Bool {
        guard !push.exclude.contains(session.name) else { return false }
        return push.targets.contains { target in
            switch target {
            case .user(let user): session.name.hasPrefix("\(user)/")
            case .key(let name): session.name == "\(name)"
            case .room(let room): session.rooms.contains("\(room)")
            case .everyone: true
            }
        }
    }

    func got(_ session: Session) -> [Int] {
        shard.pushes(to: session.slot, in: session.from..<(session.to ?? shard.sent.count))
            .compactMap { Int($0.dropFirst()) }
    }
}
