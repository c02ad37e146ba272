import ArgumentParser

/// What is measured, as it is written on the command line: `storm`, `idle`, `fan-out:3/s`, `unicast:64`, `batch:8`.
enum BenchWork: Hashable, Sendable, CustomStringConvertible {
    /// Everybody connects at once.
    case storm
    /// Everybody is connected, and nothing is sent.
    case idle
    case messages(Aim, Pace)

    /// Whom each push is for.
    enum Aim: String, Hashable, Sendable, CaseIterable {
        /// The one room that everybody is in.
        case fanOut = "fan-out"
        /// One user, drawn anew each time.
        case unicast
        /// 100 pushes in one request, each to one user with data of its own. The pace is that of the requests.
        case batch

        /// Pushes in one request.
        var pushes: Int { self == .batch ? 100 : 1 }
    }

    /// When the next push is sent.
    enum Pace: Hashable, Sendable, CustomStringConvertible {
        /// So many a second, whether the earlier ones have arrived or not.
        case rate(Int)
        /// As soon as fewer than so many requests are under way: sent, and not yet everywhere they go.
        case inFlight(Int)

        var description: String {
            switch self {
            case .rate(let rate): "\(rate)/s"
            case .inFlight(let count): "\(count)"
            }
        }
    }

    static let all: [BenchWork] = [
        .storm, .idle, .messages(.fanOut, .rate(3)), .messages(.fanOut, .inFlight(64)),
        .messages(.unicast, .rate(1000)), .messages(.unicast, .inFlight(64)), .messages(.batch, .inFlight(8)),
    ]

    static let paceMax = 1_000_000
    /// Beyond this, messages that overtook each other cannot be told from repeats (`SequenceWindow`).
    static let inFlightMax = 64

    /// Reads what `description` writes; nil for anything else.
    init?(_ text: String) {
        switch text {
        case "storm": self = .storm
        case "idle": self = .idle
        default:
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, let aim = Aim(rawValue: String(parts[0])) else { return nil }
            let isRate = parts[1].hasSuffix("/s")
            guard let number = Int(isRate ? parts[1].dropLast(2) : parts[1]),
                (1...(isRate ? Self.paceMax : Self.inFlightMax)).contains(number)
            else { return nil }
            self = .messages(aim, isRate ? .rate(number) : .inFlight(number))
        }
    }

    var description: String {
        switch self {
        case .storm: "storm"
        case .idle: "idle"
        case .messages(let aim, let pace): "\(aim.rawValue):\(pace)"
        }
    }
}

extension BenchWork: ExpressibleByArgument {
    init?(argument: String) { self.init(argument) }

    var defaultValueDescription: String { description }
}
