/// Slots grouped by user: the user's first slot by hash, and from each slot the next.
///
/// 8 bytes a slot for the links and one index entry a user. The names stand in the owner's array, so that the
/// owner compares them.
struct UserChains: Sendable {
    private struct Link: Sendable {
        /// A slot, or -1.
        var next: Int32 = -1
        var previous: Int32 = -1
    }

    private var heads = SlotIndex()
    private var links: [Link] = []

    /// Users with at least one slot.
    var count: Int { heads.count }

    /// The first slot of a user.
    func head(_ hash: Int, where isUser: (Int) -> Bool) -> Int? {
        heads.first(hash, where: isUser)
    }

    /// The slot after this one, of the same user.
    func next(_ slot: Int) -> Int? {
        let next = links[slot].next
        return next < 0 ? nil : Int(next)
    }

    /// Adds a slot in front.
    ///
    /// `head`: what `head` answers for its user.
    mutating func add(_ slot: Int, hash: Int, head: Int?) {
        while links.count <= slot { links.append(Link()) }
        if let head {
            links[slot] = Link(next: Int32(head), previous: -1)
            links[head].previous = Int32(slot)
            heads.replace(head, with: slot, hash: hash)
        } else {
            links[slot] = Link()
            heads.insert(slot, hash: hash)
        }
    }

    mutating func remove(_ slot: Int, hash: Int) {
        let link = links[slot]
        links[slot] = Link()
        if link.next >= 0 { links[Int(link.next)].previous = link.previous }
        if link.previous >= 0 {
            links[Int(link.previous)].next = link.next
        } else if link.next >= 0 {
            heads.replace(slot, with: Int(link.next), hash: hash)
        } else {
            heads.remove(slot, hash: hash)
        }
    }
}
