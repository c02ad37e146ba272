/// The id of a stream's entry, `1732168000000-3`. Zero, which no entry has, stands for one that is not known.
struct HopID: Hashable, Comparable, Sendable, CustomStringConvertible {
    var milliseconds: UInt64
    var sequence: UInt64

    static let unknown = Self(milliseconds: 0, sequence: 0)

    static func < (left: Self, right: Self) -> Bool {
        (left.milliseconds, left.sequence) < (right.milliseconds, right.sequence)
    }

    /// The largest id below this one; `unknown` stays.
    var predecessor: Self {
        if sequence > 0 { return Self(milliseconds: milliseconds, sequence: sequence - 1) }
        if milliseconds > 0 { return Self(milliseconds: milliseconds - 1, sequence: .max) }
        return self
    }

    var description: String { "\(milliseconds)-\(sequence)" }
}

extension HopID {
    init?(_ text: some Collection<UInt8>) {
        guard let dash = text.firstIndex(of: UInt8(ascii: "-")),
            let milliseconds = RouteText.number(text[..<dash]),
            let sequence = RouteText.number(text[text.index(after: dash)...])
        else { return nil }
        self.init(milliseconds: milliseconds, sequence: sequence)
    }
}

/// Where a message stands among all that were ever published to its node.
struct HopPosition: Hashable, Sendable {
    /// One more than that of the message before it.
    var number: UInt64
    var id: HopID

    /// Where a listener stands whose next message this is.
    var before: Self { Self(number: number &- 1, id: id.predecessor) }
}

struct HopMessage: Hashable, Sendable {
    var position: HopPosition
    var bytes: [UInt8]
}

/// What travels on a channel of the bus; its first byte says which.
enum BusPacket: Hashable, Sendable {
    /// `m`, id, space, number, space, envelope: bus_publish.
    case message(HopMessage)
    /// `p`, id, space, number, space: where the hop ends, bus_probe. On a channel without a hop all is 0.
    case probe(HopPosition)
    /// `r`, bytes: a reply, which is kept nowhere.
    case reply([UInt8])

    /// - Returns: nil for what none of ours sends.
    init?(_ bytes: consuming [UInt8]) {
        switch bytes.first {
        case UInt8(ascii: "r"):
            bytes.removeFirst()
            self = .reply(bytes)
        case UInt8(ascii: "m"):
            guard let (position, count) = Self.header(bytes) else { return nil }
            bytes.removeFirst(count)
            self = .message(HopMessage(position: position, bytes: bytes))
        case UInt8(ascii: "p"):
            guard let (position, _) = Self.header(bytes) else { return nil }
            self = .probe(position)
        default: return nil
        }
    }

    static func reply(packed bytes: [UInt8]) -> [UInt8] { [UInt8(ascii: "r")] + bytes }

    /// The probe of a channel without a hop.
    static let plainProbe = Array("p0-0 0 ".utf8)

    /// Reads id and number, and counts the bytes before the envelope.
    private static func header(_ bytes: [UInt8]) -> (HopPosition, count: Int)? {
        var index = 1
        guard let milliseconds = number(bytes, &index, until: UInt8(ascii: "-")),
            let sequence = number(bytes, &index, until: UInt8(ascii: " ")),
            let number = number(bytes, &index, until: UInt8(ascii: " "))
        else { return nil }
        let id = HopID(milliseconds: milliseconds, sequence: sequence)
        return (HopPosition(number: number, id: id), index)
    }

    /// Reads 1 to 19 digits and steps over the byte that ends them.
    private static func number(_ bytes: [UInt8], _ index: inout Int, until end: UInt8) -> UInt64? {
        let start = index
        var number: UInt64 = 0
        while index < bytes.count, index - start <= 19 {
            let byte = bytes[index]
            index += 1
            if byte == end { return index > start + 1 ? number : nil }
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            number = number &* 10 &+ UInt64(byte &- UInt8(ascii: "0"))
        }
        return nil
    }
}

extension HopMessage {
    /// Reads an entry of XRANGE's reply, `[id, ["n", number, "e", envelope]]`.
    init?(entry: RedisValue) {
        guard let parts = entry.elements, parts.count == 2, case .string(let id) = parts[0],
            let id = HopID(id), let fields = parts[1].elements, fields.count == 4,
            case .string(let number) = fields[1], let number = RouteText.number(number),
            case .string(let bytes) = fields[3]
        else { return nil }
        self.init(position: HopPosition(number: number, id: id), bytes: bytes)
    }
}
