public import HeraldCore

/// Replies as bytes, and what a delivery asks for: `envelope.proto`, written by hand as envelopes are.
extension Reply {
    /// Writes the reply.
    public func encoded() -> [UInt8] {
        var writer = ProtobufWriter(capacity: 16 + node.description.utf8.count + receipts.count * 24)
        writer.string(1, node.description)
        for receipt in receipts { writer.message(2) { receipt.write(to: &$0) } }
        return writer.bytes
    }

    /// Reads a reply.
    ///
    /// - Parameter bytes: what came from the channel, whoever published it.
    /// - Throws: `bad_envelope` or `bad_id`; nothing of it may be used then.
    public init(wire bytes: [UInt8]) throws(WireError) {
        self = try lend(bytes) { bytes throws(WireError) in
            var node: NodeID?
            var receipts: [Receipt] = []
            var reader = ProtobufReader(bytes)
            while let (field, value) = try reader.next() {
                switch field {
                case 1: node = try named(value, NodeID.init)
                case 2: receipts.append(Receipt(from: try ProtobufNumbers(value.message())))
                default: break
                }
            }
            guard let node else { throw ProtobufReader.broken("a reply has no node") }
            return Reply(node: node, receipts: receipts)
        }
    }
}

extension Receipt {
    fileprivate func write(to writer: inout ProtobufWriter) {
        writer.unsigned(1, ticket)
        writer.count(2, target)
        if let reach {
            writer.count(3, reach.connections)
            writer.count(4, reach.written)
            writer.count(5, reach.acked)
            writer.count(6, reach.dropped)
            writer.count(9, reach.collapsed)
        }
        if isFinal { writer.unsigned(7, 1) }
        if reach == nil { writer.unsigned(8, 1) }
    }

    fileprivate init(from numbers: ProtobufNumbers) {
        let reach = Reach(
            connections: numbers.count(3),
            written: numbers.count(4),
            acked: numbers.count(5),
            dropped: numbers.count(6),
            collapsed: numbers.count(9)
        )
        self.init(
            ticket: numbers[1],
            target: numbers.count(2),
            reach: numbers[8] == 0 ? reach : nil,
            isFinal: numbers[7] != 0
        )
    }
}

extension ReceiptQuery {
    func write(to writer: inout ProtobufWriter) {
        writer.unsigned(1, ticket)
        if confirm != .routed { writer.unsigned(2, confirm.wireNumber) }
        writer.count(3, Int(clamping: patience.wholeMilliseconds))
    }

    /// A level that this version does not know is the highest that it does.
    init(from numbers: ProtobufNumbers) {
        let confirm = ConfirmLevel.allCases.first { $0.wireNumber == numbers[2] } ?? .acked
        self.init(ticket: numbers[1], confirm: confirm, patience: .milliseconds(numbers.count(3)))
    }
}

extension ConfirmLevel {
    fileprivate var wireNumber: UInt64 {
        switch self {
        case .routed: 0
        case .written: 1
        case .acked: 2
        }
    }
}

/// A message of which only the numbers in its fields 1 to 9 are of use; absent ones are 0.
struct ProtobufNumbers {
    private var values = InlineArray<10, UInt64>(repeating: 0)

    init(_ message: ProtobufReader) throws(WireError) {
        var reader = message
        while let (field, value) = try reader.next() {
            if field < 10, let number = value.number { values[Int(field)] = number }
        }
    }

    subscript(field: Int) -> UInt64 { values[field] }

    /// Clamped to what fits 31 bits: it came from outside.
    func count(_ field: Int) -> Int { Int(min(values[field], UInt64(Int32.max))) }
}

extension ProtobufWriter {
    /// A number that is not below zero; zero is left out.
    fileprivate mutating func count(_ field: UInt8, _ number: Int) {
        if number > 0 { unsigned(field, UInt64(number)) }
    }
}
