import HeraldCore
import HeraldTesting
import Synchronization

/// Table and bus of a fleet as one: what is all well goes out in one step.
final class MemoryDirectBus: DirectBus {
    /// What a call passes before it does anything, and before it answers.
    let entry = Gate()
    let exit = Gate()
    private let fleet: Fleet
    private let calls = Atomic(0)
    private let unreachable = Atomic(false)

    init(_ fleet: Fleet) { self.fleet = fleet }

    /// While true, every call throws before anything is sent.
    var isUnreachable: Bool {
        get { unreachable.load(ordering: .relaxed) }
        set { unreachable.store(newValue, ordering: .relaxed) }
    }

    /// How often it was asked.
    var count: Int { calls.load(ordering: .relaxed) }

    func publish(
        _ envelope: [UInt8],
        to target: Target,
        _ done: @escaping @Sendable (Result<DirectAnswer?, BusError>) -> Void
    ) {
        calls.wrappingAdd(1, ordering: .relaxed)
        Task {
            do throws(BusError) { done(.success(try await publish(envelope, at: target))) } catch {
                done(.failure(error))
            }
        }
    }

    private func publish(_ envelope: [UInt8], at target: Target) async throws(BusError) -> DirectAnswer? {
        await entry.pass()
        if isUnreachable { throw BusError("switched off by the test", isUnsent: true) }
        var lookup = Lookup()
        switch target {
        case .user(let user): lookup.users = [user]
        case .key(let key): lookup.keys = [key]
        case .room, .everyone: return nil
        }
        let found: LookupAnswer
        do { found = try await fleet.table.look(up: lookup) } catch { return nil }
        let routes = found.users.flatMap { $0 } + found.keys.compactMap { $0 }
        let nodes = Set(routes.map(\.session.node)).sorted()
        guard !nodes.isEmpty else { return nil }
        let counts = try await fleet.bus.publish(nodes.map { BusMessage(node: $0, bytes: envelope) })
        await exit.pass()
        let missed = zip(nodes, counts).filter { $0.1 == 0 }.map(\.0)
        return DirectAnswer(found: found, missed: Set(missed))
    }
}
