import HeraldCore

/// What a hop tells the receiver and asks for, in this order.
struct HopStep: Equatable {
    enum Order: Equatable {
        case nothing
        /// A mark is to be sent through the channel.
        case mark
        /// A page of the stream after this id is to be read.
        case read(after: HopID, round: Int)
    }

    var events: [BusEvent] = []
    var order = Order.nothing

    mutating func add(_ bytes: [UInt8]) {
        if case .messages(var messages) = events.last {
            events.removeLast()
            messages.append(bytes)
            events.append(.messages(messages))
        } else {
            events.append(.messages([bytes]))
        }
    }
}
