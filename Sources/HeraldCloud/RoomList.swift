import HeraldCore

/// The names of this node's members of one room, and which of them Redis has not been told of yet.
///
///     ─ joined, left ─▶ untold ─ take ─▶ under way ─ confirmed ─▶ told
///                          ▲                 │ failed
///                          └─────────────────┘
///
/// Whether an untold name joined or left is decided when it is told, by whether it is here then: so a name that
/// comes and goes costs nothing twice, and what a lost call did need not be known. Once all is told, Redis is told
/// the length too, and answers when its own is another: then the list is begun anew.
struct RoomList {
    private let namesMax: Int
    /// Sockets by name: a key that is taken over has two for a moment.
    private var sockets: [UserKey: Int32] = [:]
    private var untold: Set<UserKey> = []
    /// Redis may hold names that are not known here.
    private var isAnew = true
    private var underWay: (names: [UserKey], isAnew: Bool) = ([], false)

    /// - Parameter namesMax: names beyond this are not listed.
    init(namesMax: Int) { self.namesMax = namesMax }

    /// Names that are listed.
    var count: Int { sockets.count }
    /// What is untold did not fit into the last call, or is all of it: it is to follow without delay.
    private(set) var isBehind = false

    mutating func joined(_ name: UserKey) {
        if let count = sockets[name] {
            sockets[name] = count + 1
        } else if sockets.count < namesMax {
            sockets[name] = 1
            isUntold(name)
        }
    }

    /// One that is not listed may leave too.
    mutating func left(_ name: UserKey) {
        guard let count = sockets[name] else { return }
        sockets[name] = count > 1 ? count - 1 : nil
        if count == 1 { isUntold(name) }
    }

    /// Nothing is known of what Redis holds.
    mutating func begin() {
        isAnew = true
        untold = Set(sockets.keys)
    }

    /// Adds to what is told of the room, at most so many names; goes under way with it.
    mutating func take(max: Int, into telling: inout RoomTelling) {
        let names = Array(untold.prefix(max))
        untold.subtract(names)
        for name in names {
            if sockets[name] != nil { telling.joined.append(name) } else { telling.left.append(name) }
        }
        telling.isAnew = isAnew
        isBehind = !untold.isEmpty
        if !isBehind { telling.listed = sockets.count }
        underWay = (names, isAnew)
        isAnew = false
    }

    /// `isAstray`: the list in Redis has another length than it was told.
    mutating func confirmed(isAstray: Bool) {
        underWay = ([], false)
        guard isAstray else { return }
        begin()
        isBehind = true
    }

    mutating func failed() {
        untold.formUnion(underWay.names)
        if underWay.isAnew { isAnew = true }
        underWay = ([], false)
    }

    private mutating func isUntold(_ name: UserKey) {
        untold.insert(name)
        // While Redis is away, names that come and go would pile up: telling all that are here is then less.
        if untold.count > 2 * namesMax { begin() }
    }
}
