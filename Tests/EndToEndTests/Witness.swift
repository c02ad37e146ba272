import HeraldClient
import HeraldCore
import HeraldTesting
import Synchronization

/// A client that remembers what it was shown, and how it ended.
final class Witness: Sendable {
    let connection: HeraldConnection
    private let memory = Mutex(Memory())

    private struct Memory {
        var pushes: [ReceivedPush] = []
        var end: ConnectionEnd?
    }

    private init(_ connection: HeraldConnection) { self.connection = connection }

    var pushes: [ReceivedPush] { memory.withLock { $0.pushes } }
    var ids: [String] { pushes.map(\.id.description) }
    var count: Int { memory.withLock { $0.pushes.count } }
    var end: ConnectionEnd? { memory.withLock { $0.end } }
    var isOpen: Bool { end == nil }

    func sees(_ id: String, within limit: Duration = .seconds(10)) async throws {
        try await eventually(
            "\(connection.identity.user)/\(connection.identity.key) sees \(id)",
            within: limit
        ) {
            memory.withLock { $0.pushes.contains { $0.id.description == id } }
        }
    }

    private func read() async {
        for await event in connection.events {
            memory.withLock { memory in
                switch event {
                case .push(let push): memory.pushes.append(push)
                case .closed(let end): memory.end = end
                case .error, .reset: break
                }
            }
        }
    }

    /// Where a witness connects, and as whom.
    struct Place: Sendable {
        var url: String
        var user: String
        var key: String
        var rooms: [String] = []
    }

    /// Connects all, some at a time, and closes them when the body is done.
    static func with(_ places: [Place], _ body: ([Witness]) async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { readers in
            var witnesses: [Witness] = []
            for start in stride(from: 0, to: places.count, by: 100) {
                let some = Array(places[start..<min(start + 100, places.count)])
                for witness in try await connect(some) {
                    witnesses.append(witness)
                    readers.addTask { await witness.read() }
                }
            }
            try await body(witnesses)
            for witness in witnesses { await witness.connection.close() }
            readers.cancelAll()
        }
    }

    private static func connect(_ places: [Place]) async throws -> [Witness] {
        try await withThrowingTaskGroup(of: (Int, Witness).self) { group in
            for (index, place) in places.enumerated() {
                group.addTask {
                    let configuration = try ConnectionConfiguration(
                        url: place.url,
                        user: place.user,
                        key: place.key,
                        rooms: place.rooms
                    )
                    return (index, Witness(try await HeraldConnection.connect(configuration)))
                }
            }
            var found: [(Int, Witness)] = []
            for try await one in group { found.append(one) }
            return found.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }
}
