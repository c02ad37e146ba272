// A random schedule: what happens to clients, nodes, links and Redis within some seconds, and when.
//
// It is made from one number alone, so that a wrong end can be had again with HERALD_TEST_SEED. The processes under
// test keep their own time: the same schedule may end otherwise on another day, but it is the same trouble.
//
// Devices (a user's key each) connect, move from node to node, leave and die. When a device moves, its old
// connection is closed, broken, left open, or left open without anybody who reads it (half-open). Beside that,
// faults begin and end on links, nodes and Redis. Every fault ends with the schedule at the latest.

/// A seeded source of numbers (SplitMix64).
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

struct Schedule: Equatable, CustomStringConvertible {
    /// What becomes of a device's connection when it goes elsewhere.
    enum Parting: String, CaseIterable {
        /// A close frame.
        case closed
        /// The connection ends without one.
        case cut
        /// Nobody reads or answers any more, and nobody closes.
        case mute
        /// It stays as it is, awake.
        case open
    }

    enum Link: String, CaseIterable {
        case toRedis
        case toNode
    }

    enum Data: String, CaseIterable {
        /// As it was at the end.
        case kept
        /// As it was when the schedule began.
        case old
        case lost
    }

    enum Act: Equatable {
        case connect(device: Int, node: Int, Parting)
        case depart(device: Int, Parting)
        case push(device: Int)

        case delay(node: Int, Link, milliseconds: Int)
        case hold(node: Int, Link)
        case cut(node: Int)
        /// Loses the connections to Redis once.
        case reset(node: Int)
        case mend(node: Int)

        case freeze(node: Int)
        case thaw(node: Int)
        case kill(node: Int)
        case restart(node: Int)

        case flush
        case freezeRedis
        case thawRedis
        case stopRedis(Data)
        case startRedis
    }

    struct Step: Equatable {
        var milliseconds: Int
        var act: Act
    }

    let seed: UInt64
    let nodes: Int
    /// The devices: `user/key`.
    let devices: [String]
    /// In the order of time.
    let steps: [Step]

    /// Everything happens within this time.
    static let milliseconds = 2200

    init(seed: UInt64, nodes: Int = 3) {
        var numbers = SeededNumbers(seed: seed)
        self.seed = seed
        self.nodes = nodes
        let users = Int.random(in: 4...8, using: &numbers)
        var devices: [String] = []
        for user in 0..<users {
            for key in 0..<Int.random(in: 1...3, using: &numbers) {
                devices.append("s\(seed)-u\(user)/k\(key)")
            }
        }
        self.devices = devices
        var steps = Self.clients(devices.count, nodes, &numbers)
        for _ in 0..<Int.random(in: 1...5, using: &numbers) { steps += Self.fault(nodes, &numbers) }
        // A sort that keeps the order of what happens at the same moment.
        self.steps = steps.enumerated().sorted {
            ($0.element.milliseconds, $0.offset) < ($1.element.milliseconds, $1.offset)
        }
        .map(\.element)
    }

    var description: String {
        "schedule \(seed): \(nodes) nodes, devices \(devices.joined(separator: " "))\n"
            + steps.filter { if case .push = $0.act { false } else { true } }
            .map { "  \($0.milliseconds) ms  \($0.act)" }.joined(separator: "\n")
    }

    private static func clients(_ devices: Int, _ nodes: Int, _ numbers: inout SeededNumbers) -> [Step] {
        var steps: [Step] = []
        for device in 0..<devices where Int.random(in: 0..<10, using: &numbers) < 8 {
            let node = Int.random(in: 0..<nodes, using: &numbers)
            steps.append(Step(milliseconds: 0, act: .connect(device: device, node: node, .closed)))
        }
        for _ in 0..<Int.random(in: 8...40, using: &numbers) {
            let time = Int.random(in: 150..<milliseconds, using: &numbers)
            let device = Int.random(in: 0..<devices, using: &numbers)
            let parting = Parting.allCases.randomElement(using: &numbers) ?? .closed
            if Int.random(in: 0..<10, using: &numbers) < 7 {
                let node = Int.random(in: 0..<nodes, using: &numbers)
                steps.append(Step(milliseconds: time, act: .connect(device: device, node: node, parting)))
            } else {
                let end = parting == .open ? Parting.mute : parting
                steps.append(Step(milliseconds: time, act: .depart(device: device, end)))
            }
        }
        for time in stride(from: 100, to: milliseconds, by: 40) {
            let device = Int.random(in: 0..<devices, using: &numbers)
            steps.append(Step(milliseconds: time, act: .push(device: device)))
        }
        return steps
    }

    /// One fault and its end.
    private static func fault(_ nodes: Int, _ numbers: inout SeededNumbers) -> [Step] {
        let node = Int.random(in: 0..<nodes, using: &numbers)
        // Half of them are short, half may outlast a lease.
        let isLong = Bool.random(using: &numbers)
        let begin = Int.random(in: 200..<(isLong ? 800 : milliseconds - 200), using: &numbers)
        let length = Int.random(in: isLong ? 600...2000 : 50...600, using: &numbers)
        let end = min(begin + length, milliseconds)
        let link = Link.allCases.randomElement(using: &numbers) ?? .toRedis
        func lasting(_ first: Act, _ last: Act) -> [Step] {
            [Step(milliseconds: begin, act: first), Step(milliseconds: end, act: last)]
        }
        switch Int.random(in: 0..<20, using: &numbers) {
        case 0, 1:
            let delay = Int.random(in: 50...1500, using: &numbers)
            return lasting(.delay(node: node, link, milliseconds: delay), .mend(node: node))
        case 2, 3, 4: return lasting(.hold(node: node, link), .mend(node: node))
        case 5, 6: return lasting(.cut(node: node), .mend(node: node))
        case 7: return [Step(milliseconds: begin, act: .reset(node: node))]
        case 8, 9, 10: return lasting(.freeze(node: node), .thaw(node: node))
        case 11, 12: return lasting(.kill(node: node), .restart(node: node))
        case 13, 14: return [Step(milliseconds: begin, act: .flush)]
        case 15: return lasting(.freezeRedis, .thawRedis)
        default:
            return lasting(.stopRedis(Data.allCases.randomElement(using: &numbers) ?? .lost), .startRedis)
        }
    }
}
