/// What one client has got of messages that are numbered from 1: finds repeats and messages that were overtaken.
///
/// It remembers the newest 64 numbers. Publishing over several connections lets messages overtake each other by as
/// many as are under way, which is fewer.
struct SequenceWindow: Equatable, Sendable {
    private var newest: UInt32 = 0
    /// Bit 0 stands for `newest`, bit 1 for the one before: whether it came.
    private var came: UInt64 = 0

    enum Arrival: Equatable {
        case inOrder
        /// A later one came before it.
        case overtaken
        case repeated
        /// Too far behind the newest to say whether it came before.
        case stale
    }

    mutating func receive(_ number: UInt32) -> Arrival {
        if number > newest {
            let step = number - newest
            came = step < 64 ? came << UInt64(step) | 1 : 1
            newest = number
            return .inOrder
        }
        let distance = UInt64(newest - number)
        guard distance < 64 else { return .stale }
        let bit: UInt64 = 1 << distance
        guard came & bit == 0 else { return .repeated }
        came |= bit
        return .overtaken
    }
}
