import HeraldCore

/// The question where the targets of pushes that missed somebody are by now: each target once, however many
/// pushes aim at it.
struct SecondLook {
    private(set) var lookup = Lookup()
    /// The pushes, oldest first, and their targets that are looked for.
    private(set) var items: [Item] = []
    private var places: [Target: Place] = [:]

    struct Item {
        var number: UInt64
        var targets: [(index: Int, place: Place)]
    }

    /// Where a target's answer stands.
    enum Place { case user(Int), key(Int), room(Int), everyone }

    var isEmpty: Bool { items.isEmpty }

    /// - Parameters:
    ///   - number: the push's.
    ///   - targets: places of targets in the push.
    ///   - push: whose targets they are.
    mutating func add(_ number: UInt64, _ targets: [Int], of push: Push) {
        items.append(Item(number: number, targets: targets.map { ($0, place(of: push.targets[$0])) }))
    }

    private mutating func place(of target: Target) -> Place {
        if let known = places[target] { return known }
        let place: Place
        switch target {
        case .user(let user):
            place = .user(lookup.users.count)
            lookup.users.append(user)
        case .key(let key):
            place = .key(lookup.keys.count)
            lookup.keys.append(key)
        case .room(let room):
            place = .room(lookup.rooms.count)
            lookup.rooms.append(room)
        case .everyone:
            place = .everyone
            lookup.everyone = true
        }
        places[target] = place
        return place
    }
}

extension LookupAnswer {
    /// Where one target is, each place once.
    func stops(_ place: SecondLook.Place) -> [Stop] {
        switch place {
        case .user(let index):
            guard index < users.count else { return [] }
            return distinct(users[index].map(\.stop))
        case .key(let index):
            return index < keys.count ? keys[index].map { [$0.stop] } ?? [] : []
        case .room(let index):
            guard index < rooms.count else { return [] }
            return distinct(rooms[index].map { Stop(node: $0.node, incarnation: $0.incarnation) })
        case .everyone: return nodes.map { Stop(node: $0) }
        }
    }

    private func distinct(_ stops: [Stop]) -> [Stop] {
        guard stops.count > 1 else { return stops }
        var result: [Stop] = []
        for stop in stops where !result.contains(stop) { result.append(stop) }
        return result
    }
}

extension Route {
    fileprivate var stop: Stop { Stop(node: session.node, incarnation: session.incarnation) }
}

/// Walks the answer to the look-up of many pushes in the order in which `FanOut.lookup(for:)` asked.
struct StopCursor {
    let found: LookupAnswer
    private var user = 0
    private var key = 0
    private var room = 0

    init(_ found: LookupAnswer) { self.found = found }

    /// The next target's stops.
    mutating func next(_ target: Target) -> [Stop] {
        switch target {
        case .user:
            user += 1
            return found.stops(.user(user - 1))
        case .key:
            key += 1
            return found.stops(.key(key - 1))
        case .room:
            room += 1
            return found.stops(.room(room - 1))
        case .everyone: return found.stops(.everyone)
        }
    }

    /// Passes over a push.
    mutating func skip(_ push: Push) {
        for target in push.targets {
            switch target {
            case .user: user += 1
            case .key: key += 1
            case .room: room += 1
            case .everyone: break
            }
        }
    }
}
