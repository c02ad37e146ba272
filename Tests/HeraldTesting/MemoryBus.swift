public import HeraldCore
import Synchronization

/// The bus in memory: delivers at once, in order, to whoever listens.
///
/// It can be told to fail, to cut a node's subscription and to keep a publish waiting, and it remembers what was
/// published.
public final class MemoryBus: Bus {
    /// What a publish passes before it delivers. Open from the start.
    public let publishGate = Gate()

    private let state = Mutex(State())
    /// Held while receivers are called, so that each is called by one sender at a time, in order. Receivers only
    /// hand over, as the protocol asks of them, and never call the bus.
    private let delivery = Mutex(())

    fileprivate struct State {
        var isUnavailable = false
        var published: [[BusMessage]] = []
        var channels: [BusAddress: [Subscriber]] = [:]
        var lastSubscriber: UInt64 = 0
    }

    fileprivate struct Subscriber {
        var id: UInt64
        var isCut = false
        /// What a node's subscriber missed since it was cut.
        var missed: [[UInt8]] = []
        var receive: @Sendable (BusEvent) -> Void
    }

    public init() {}

    /// While true, every publish throws. Subscriptions stay.
    public var isUnavailable: Bool {
        get { state.withLock { $0.isUnavailable } }
        set { state.withLock { $0.isUnavailable = newValue } }
    }

    /// Every publish that was not refused, in order.
    public var published: [[BusMessage]] { state.withLock { $0.published } }

    /// How many listen on a node's channel and would get what is published now.
    public func subscribers(of node: NodeID) -> Int {
        state.withLock { state in state.channels[.node(node), default: []].count { !$0.isCut } }
    }

    /// Cuts all subscriptions of a node's channel: its listeners get `lost`, and what is published from now on
    /// counts no subscriber and waits.
    public func cut(_ node: NodeID) {
        setCut(true, node) { _ in [.lost("cut by the test")] }
    }

    /// Restores what `cut` cut: its listeners get what they missed, or a `gap` when that is forgotten, then
    /// `subscribed`.
    public func restore(_ node: NodeID, forgetting: Bool = false) {
        setCut(false, node) { missed in
            if forgetting { return [.gap("forgotten by the test"), .subscribed] }
            return missed.isEmpty ? [.subscribed] : [.messages(missed), .subscribed]
        }
    }

    public func publish(_ messages: [BusMessage]) async throws(BusError) -> [Int] {
        await publishGate.pass()
        let result = delivery.withLock { _ -> Result<[Int], BusError> in
            let receivers = state.withLock { state -> [[Subscriber]]? in
                guard !state.isUnavailable else { return nil }
                state.published.append(messages)
                return messages.map { message in state.take(message) }
            }
            guard let receivers else { return .failure(BusError("switched off by the test")) }
            for (message, subscribers) in zip(messages, receivers) {
                for subscriber in subscribers { subscriber.receive(.messages([message.bytes])) }
            }
            return .success(receivers.map(\.count))
        }
        return try result.get()
    }

    public func listen(to address: BusAddress, _ receive: @escaping @Sendable (BusEvent) -> Void) async throws
    {
        let id = delivery.withLock { _ in
            let id = state.withLock { state in
                state.lastSubscriber += 1
                let subscriber = Subscriber(id: state.lastSubscriber, receive: receive)
                state.channels[address, default: []].append(subscriber)
                return subscriber.id
            }
            receive(.subscribed)
            return id
        }
        defer { state.withLock { $0.channels[address]?.removeAll { $0.id == id } } }
        let forever = Gate(isOpen: false)
        try await forever.passOrCancel()
    }

    private func setCut(_ isCut: Bool, _ node: NodeID, events: ([[UInt8]]) -> [BusEvent]) {
        delivery.withLock { _ in
            let changed = state.withLock { state -> [Subscriber] in
                var subscribers = state.channels[.node(node)] ?? []
                let changed = subscribers.filter { $0.isCut != isCut }
                for index in subscribers.indices {
                    subscribers[index].isCut = isCut
                    subscribers[index].missed = []
                }
                state.channels[.node(node)] = subscribers
                return changed
            }
            for subscriber in changed {
                for event in events(subscriber.missed) { subscriber.receive(event) }
            }
        }
    }
}

extension MemoryBus.State {
    /// Keeps a message for those of a node's subscribers who are cut.
    ///
    /// - Returns: the others, who get it.
    fileprivate mutating func take(_ message: BusMessage) -> [MemoryBus.Subscriber] {
        var subscribers = channels[message.address] ?? []
        for index in subscribers.indices where subscribers[index].isCut {
            subscribers[index].missed.append(message.bytes)
        }
        channels[message.address] = subscribers
        return subscribers.filter { !$0.isCut }
    }
}
