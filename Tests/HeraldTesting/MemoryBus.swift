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

    private struct State {
        var isUnavailable = false
        var published: [[BusMessage]] = []
        var channels: [BusAddress: [Subscriber]] = [:]
        var lastSubscriber: UInt64 = 0
    }

    private struct Subscriber {
        var id: UInt64
        var isCut = false
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
    /// does not reach them.
    public func cut(_ node: NodeID) {
        setCut(true, node, event: .lost("cut by the test"))
    }

    /// Restores what `cut` cut: its listeners get `subscribed`.
    public func restore(_ node: NodeID) {
        setCut(false, node, event: .subscribed)
    }

    public func publish(_ messages: [BusMessage]) async throws(BusError) -> [Int] {
        await publishGate.pass()
        let result = delivery.withLock { _ -> Result<[Int], BusError> in
            let receivers = state.withLock { state -> [[Subscriber]]? in
                guard !state.isUnavailable else { return nil }
                state.published.append(messages)
                return messages.map { message in
                    state.channels[message.address, default: []].filter { !$0.isCut }
                }
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

    private func setCut(_ isCut: Bool, _ node: NodeID, event: BusEvent) {
        delivery.withLock { _ in
            let changed = state.withLock { state -> [Subscriber] in
                var subscribers = state.channels[.node(node)] ?? []
                let changed = subscribers.filter { $0.isCut != isCut }
                for index in subscribers.indices { subscribers[index].isCut = isCut }
                state.channels[.node(node)] = subscribers
                return changed
            }
            for subscriber in changed { subscriber.receive(event) }
        }
    }
}
