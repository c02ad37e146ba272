import Testing

@testable import HeraldCloud

struct SlotIndexTests {
    @Test func `it finds what a dictionary finds, through inserts, removals and growth`() {
        var index = SlotIndex()
        var model: [Int: Int] = [:]
        var dice = Dice(seed: 7)
        for step in 0..<20_000 {
            let slot = Int(dice.next() % 3000)
            if let hash = model[slot] {
                index.remove(slot, hash: hash)
                model[slot] = nil
            } else {
                // Few hashes, so that they collide and wrap round.
                let hash = Int(dice.next() % 500)
                index.insert(slot, hash: hash)
                model[slot] = hash
            }
            if step % 500 == 0 {
                for hash in stride(from: 0, to: 500, by: 7) {
                    #expect(index.all(hash) == Set(model.filter { $0.value == hash }.keys))
                }
            }
        }
        #expect(index.count == model.count)
        for (slot, hash) in model { index.remove(slot, hash: hash) }
        #expect(index.count == 0)
        #expect(index.all(3).isEmpty)
    }

    @Test func `users are counted once, and their slots are found in any order of leaving`() {
        var chains = UserChains()
        var users: [Int: Int] = [:]
        var dice = Dice(seed: 3)
        for _ in 0..<5000 {
            let slot = Int(dice.next() % 200)
            if let user = users[slot] {
                chains.remove(slot, hash: user)
                users[slot] = nil
            } else {
                let user = Int(dice.next() % 40)
                let head = chains.head(user) { users[$0] == user }
                users[slot] = user
                chains.add(slot, hash: user, head: head)
            }
        }
        #expect(chains.count == Set(users.values).count)
        for user in 0..<40 {
            var found: Set<Int> = []
            var next = chains.head(user) { users[$0] == user }
            while let slot = next {
                found.insert(slot)
                next = chains.next(slot)
            }
            #expect(found == Set(users.filter { $0.value == user }.keys))
        }
    }
}

extension SlotIndex {
    fileprivate func all(_ hash: Int) -> Set<Int> {
        var cursor = search(hash)
        var slots: Set<Int> = []
        while let slot = next(&cursor) { slots.insert(slot) }
        return slots
    }
}

/// Numbers that look random and are the same in each run (SplitMix64).
struct Dice: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
