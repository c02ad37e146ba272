import HeraldCore
import HeraldTesting
import Synchronization

/// A bus that hands over at once, on the thread that publishes.
final class LocalBus: Bus {
    private let listeners = Mutex<[BusAddress: @Sendable (BusEvent) -> Void]>([:])

    func publish(_ messages: [BusMessage]) async throws(BusError) -> [Int] {
        messages.map { bring($0) ? 1 : 0 }
    }

    func listen(to address: BusAddress, _ receive: @escaping @Sendable (BusEvent) -> Void) async throws {
        listeners.withLock { $0[address] = receive }
        receive(.subscribed)
        // Nothing is said in it; it ends when the task is cancelled.
        for await _ in AsyncStream<Never>.makeStream().stream {}
        throw CancellationError()
    }

    var listenerCount: Int { listeners.withLock { $0.count } }

    /// - Returns: whether somebody listens there.
    @discardableResult func bring(_ message: BusMessage) -> Bool {
        guard let receive = listeners.withLock({ $0[message.address] }) else { return false }
        receive(.messages([message.bytes]))
        return true
    }
}

/// The same in one step with a look-up, as Redis does it for a push that comes alone.
struct LocalDirectBus: DirectBus {
    let table: MemoryRouteTable
    let bus: LocalBus

    func publish(
        _ envelope: [UInt8],
        to target: Target,
        _ done: @escaping @Sendable (Result<DirectAnswer?, BusError>) -> Void
    ) {
        guard case .user(let user) = target else { return done(.success(nil)) }
        guard let found = try? table.find(Lookup(users: [user])), let routes = found.users.first,
            !routes.isEmpty
        else { return done(.success(nil)) }
        let nodes = Set(routes.map(\.session.node))
        let missed = nodes.filter { !bus.bring(BusMessage(node: $0, bytes: envelope)) }
        done(.success(DirectAnswer(found: found, missed: missed)))
    }
}
